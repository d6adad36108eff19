import torch

from lightning_skills.nets.lstm import LastOutput, last_output


def problem() -> tuple[torch.nn.LSTM, torch.Tensor]:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 4).double()
    for parameter in lstm.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.5)
    return lstm, torch.randn(5, 6, 3, dtype=torch.float64, requires_grad=True)


def test_it_is_the_last_output_of_torchs_lstm_and_so_are_its_gradients():
    lstm, sequence = problem()
    weight_input, weight_hidden, bias_input, bias_hidden = lstm.parameters()
    ours = last_output(sequence, weight_input, weight_hidden, bias_input + bias_hidden)
    theirs = lstm(sequence)[0][-1]
    torch.testing.assert_close(ours, theirs)
    inputs = [sequence, *lstm.parameters()]
    found, expected = (torch.autograd.grad(out.pow(3).sum(), inputs) for out in (ours, theirs))
    torch.testing.assert_close(found, expected)


def test_its_gradients_are_right_also_of_a_single_step():
    lstm, sequence = problem()
    weights = [parameter.detach().requires_grad_() for parameter in lstm.parameters()][:3]
    for steps in (1, 3):
        part = sequence[:steps].detach()
        assert torch.autograd.gradcheck(LastOutput.apply, (part.clone().requires_grad_(), *weights))
        assert torch.autograd.gradcheck(lambda *w, x=part: LastOutput.apply(x, *w), weights)
