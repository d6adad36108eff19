"""Run folders written by hand, as a run leaves them."""

import json

from omegaconf import OmegaConf

HEADER = "phase,env_frames,updates,wall_s,critic_loss,train/return,train/success,eval/return,eval/success"


def write_run(root, method="spirl", seed=0, task="small20", name="default", evaluations=(), final=None, **changes):
    """Write a run; ``evaluations`` are (env frames, return, success), ``final`` the return and success at the end.

    A last row follows the evaluations, with 10 updates for each of them. Dotted keys of ``changes`` change the config.
    """
    folder = root / method / f"maze-{task}" / name / f"seed{seed}"
    folder.mkdir(parents=True)
    config = {
        "method": {"name": method, "skills": {"lr": 1e-3, "updates": 500}, "rl": {"lr": 3e-4, "frames": 4000}},
        "env": {"name": "maze", "task": task, "horizon": 100},
        "seed": seed,
        "name": name,
        "runs_dir": str(root),
        "sources": {},
        "logging": {"mlflow": False},
    }
    config = OmegaConf.create(config)
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    OmegaConf.save(config, folder / "config.yaml")
    updates, lines = 0, [HEADER]
    for updates, (frames, *values) in enumerate(evaluations, 1):
        lines.append(f"rl,{frames},{10 * updates},0.0,,,,{values[0]},{values[1]}")
    if evaluations:
        lines.append(f"rl,{evaluations[-1][0]},{10 * updates},0.0,{seed + 0.5},{seed}.0,0.0,,")
    (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
    if final is not None:
        summary = {
            "phase": "rl",
            "episodes": 50,
            "env_frames": evaluations[-1][0],
            "updates": 10 * updates,
            "eval/return": final[0],
            "eval/success": final[1],
            "returns": [final[0]] * 50,
        }
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder
