#!/usr/bin/env bash
# The commands of the results tables whose curves of every seed are in benchmarks/results/. A table's numbers are the final
# evaluations (summary.json) of these runs; in the kitchen's, but for the column "final", means of the last 100 training
# episodes (train/return). Of SiMPL and PEARL they are the evaluations after meta-training (meta.csv, or final.csv where nothing
# follows), and episodes (*_episodes.csv; of those that train in the tasks to test on, a row is the mean of ten from it on).
set -euo pipefail
cd "$(dirname "$0")/.."

# README, "A maze that flat RL cannot solve": SPiRL and SAC after the same 150 000 env frames, seeds 0-2.
python train.py -m method=spirl,sac env=maze env.task=small20 seed=0,1,2
python -m benchmarks.collect runs benchmarks/results/maze_small20 spirl/maze-small20/default sac/maze-small20/default
python -m lightning_skills report runs/spirl/maze-small20/default
cp report/curves.png docs/images/small20_curves.png
cp runs/spirl/maze-small20/default/seed1/trajectories.png docs/images/spirl_small20.png

# docs/methods/spirl.md, "Where the prior leads": rollouts of priors in the paper's maze, seeds 0-2.
python train.py -m experiment=spirl_maze phase=skills name=prior seed=0,1,2
python train.py -m experiment=spirl_maze_flat_prior phase=prior name=prior seed=0,1,2
explored=benchmarks/results/maze40_exploration
explore() { python -m lightning_skills explore "$@" && cp exploration/table.csv "$explored/$name.csv"; }
spirl=runs/spirl/maze-spirl40/prior
name=action_prior explore runs/flat_prior/maze-spirl40/prior
name=bound2 explore $spirl method.rl.bound=2
name=unbounded explore $spirl
name=bound2_horizon10000 explore $spirl method.rl.bound=2 env.horizon=10000
name=unbounded_horizon10000 explore $spirl env.horizon=10000
name=goal_unbounded explore $spirl/seed0 frames=1200000
name=goal_bound2 explore $spirl/seed0 frames=1200000 method.rl.bound=2
name=goal_bound2_slope1 explore $spirl/seed0 frames=1200000 method.rl.bound=2 method.rl.slope=1
name=goal_bound3_slope1 explore $spirl/seed0 frames=1200000 method.rl.bound=3 method.rl.slope=1

# docs/methods/spirl.md, "The paper's maze": seed 0 (the recorded run of SPiRL was called "free").
python train.py experiment=spirl_maze seed=0 skills=$spirl/seed0 \
    evaluation.interim_every=20000
python train.py experiment=spirl_maze_ssp seed=0 skills=$spirl/seed0 \
    method.rl.frames=400000 evaluation.interim_every=50000
flat="collect.worlds=10 method.rl.updates_per_transition=0.1 method.rl.frames=400000 evaluation.interim_every=50000"
python train.py experiment=spirl_maze_sac seed=0 $flat
for method in flat_prior bc_sac; do
    python train.py experiment=spirl_maze_$method seed=0 $flat prior=runs/flat_prior/maze-spirl40/prior/seed0
done
python -m benchmarks.collect runs benchmarks/results/maze40 spirl/maze-spirl40/spirl_maze ssp/maze-spirl40/spirl_maze_ssp \
    flat_prior/maze-spirl40/spirl_maze_flat_prior bc_sac/maze-spirl40/spirl_maze_bc_sac sac/maze-spirl40/spirl_maze_sac
python -m lightning_skills report runs/*/maze-spirl40/spirl_maze*
cp report/curves.png docs/images/maze40_curves.png

# docs/methods/spirl.md, "The kitchen": credit in the task's order and in any order, with the same skills; one seed goes on.
kitchen="method=spirl env=kitchen env.threads=1"
trained=runs/spirl/kitchen-mkbl/skills
for seed in 0 1 2; do
    python train.py $kitchen seed=$seed name=skills phase=skills
    python train.py $kitchen seed=$seed name=ordered skills=$trained/seed$seed method.rl.frames=250000
done
python train.py $kitchen seed=0 name=any skills=$trained/seed0 env.ordered=false
for seed in 1 2; do
    python train.py $kitchen seed=$seed name=any skills=$trained/seed$seed env.ordered=false method.rl.frames=250000
done
python -m benchmarks.collect runs benchmarks/results/kitchen_ordered spirl/kitchen-mkbl/ordered
python -m benchmarks.collect runs benchmarks/results/kitchen_any spirl/kitchen-mkbl/any
python -m lightning_skills report runs/spirl/kitchen-mkbl/any runs/spirl/kitchen-mkbl/ordered metric=return
cp report/curves.png docs/images/kitchen_curves.png
cp runs/spirl/kitchen-mkbl/any/seed0/film.gif docs/images/kitchen_spirl.gif
# Baselines, in any order: flat ones to 300 000 frames after the warm-up, an update for every four transitions.
flat="env=kitchen env.ordered=false env.threads=1 seed=0 name=any evaluation.interim_every=50000 method.rl.frames=305000"
flat="$flat collect.worlds=4 method.rl.updates_per_transition=0.25"
for method in flat_prior sac; do
    python train.py method=$method $flat
done
python train.py method=bc_sac $flat prior=runs/flat_prior/kitchen-mkbl/any/seed0
# Skills without a prior, before the presets had a cooldown.
python train.py method=ssp env=kitchen env.ordered=false env.threads=1 seed=0 name=any evaluation.interim_every=50000 \
    method.skills.cooldown=0 method.rl.frames=350000
python -m benchmarks.collect runs benchmarks/results/kitchen_any_baselines ssp/kitchen-mkbl/any flat_prior/kitchen-mkbl/any \
    bc_sac/kitchen-mkbl/any sac/kitchen-mkbl/any

# docs/methods/simpl.md, "The kitchen on two cores", with the same skills.
for seed in 0 1 2; do for method in "" _mtrl _spirl; do
    python train.py experiment=simpl_kitchen_small$method env.threads=1 seed=$seed skills=$trained/seed$seed
done; done
for seed in 0 1 2; do
    python train.py experiment=simpl_kitchen_small_pearl_ft env.threads=1 seed=$seed
done
recorded="simpl/kitchen-simpl/simpl_kitchen_small mtrl/kitchen-simpl/simpl_kitchen_small_mtrl"
recorded="$recorded spirl_simpl/kitchen-simpl/simpl_kitchen_small_spirl pearl_ft/kitchen-simpl/simpl_kitchen_small_pearl_ft"
python -m benchmarks.collect runs benchmarks/results/simpl_kitchen_small $recorded
python -m lightning_skills report runs/simpl/kitchen-simpl runs/mtrl/kitchen-simpl runs/spirl_simpl/kitchen-simpl \
    runs/pearl_ft/kitchen-simpl
cp report/unseen.png docs/images/simpl_kitchen_unseen.png
cp runs/simpl/kitchen-simpl/simpl_kitchen_small/seed0/embeddings.png docs/images/simpl_kitchen_embeddings.png

# docs/methods/simpl.md, "The maze on two cores", with the skills of seed 0 of "A maze that flat RL cannot solve".
trained=runs/spirl/maze-small20/default/seed0
for seed in 0 1 2; do
    python train.py experiment=simpl_maze_small seed=$seed skills=$trained
    python train.py experiment=simpl_maze_small_spirl method.adapt.frames=60000 seed=$seed skills=$trained
done
recorded="simpl/maze-simpl20-aligned/simpl_maze_small spirl_simpl/maze-simpl20-aligned/simpl_maze_small_spirl"
python -m benchmarks.collect runs benchmarks/results/simpl_maze_small $recorded
python -m lightning_skills report runs/simpl/maze-simpl20-aligned runs/spirl_simpl/maze-simpl20-aligned metric=return \
    by=method  # seed 0 has the skills of its own seed, the others have not, which makes them other settings
cp report/unseen.png docs/images/simpl_maze_unseen.png
python -m lightning_skills evaluate runs/simpl/maze-simpl20-aligned/simpl_maze_small/seed0 phase=meta
cp evaluation/adaptation.png docs/images/simpl_maze_adaptation.png

# docs/methods/pearl.md, "On two cores".
for seed in 0 1 2; do for experiment in pearl_point pearl_cheetah_vel; do for control in "" _blind; do
    python train.py experiment=$experiment$control env.threads=1 seed=$seed
done; done; done
for control in "" _blind; do
    python -m benchmarks.collect runs benchmarks/results/pearl_point$control \
        pearl/locomotion-sparse-point-robot/pearl_point$control
    python -m benchmarks.collect runs benchmarks/results/pearl_cheetah_vel$control \
        pearl/locomotion-cheetah-vel/pearl_cheetah_vel$control
done
python -m lightning_skills report runs/pearl/locomotion-sparse-point-robot metric=eval/return by=method.meta.task_blind
cp report/unseen.png docs/images/pearl_point_unseen.png
python -m lightning_skills evaluate runs/pearl/locomotion-sparse-point-robot/pearl_point/seed0
cp evaluation/adaptation.png docs/images/pearl_point_adaptation.png
python -m lightning_skills report runs/pearl/locomotion-cheetah-vel metric=eval/return by=method.meta.task_blind
cp report/curves.png docs/images/pearl_cheetah_vel.png

# docs/envs/kitchen.md: what the prior does before RL.
python -m lightning_skills explore $trained env.threads=1 env.ordered=false frames=28000
cp exploration/table.csv benchmarks/results/kitchen_prior/any_order.csv

# docs/methods/spirl.md, "Blocks": seed 0, to 300 000 frames after the warm-up.
for reward in sparse dense; do
    python train.py experiment=blocks_$reward seed=0 name=skills phase=skills
    python train.py experiment=blocks_$reward seed=0 skills=runs/spirl/blocks-${reward}11/skills/seed0 \
        method.rl.frames=350000 evaluation.interim_every=50000
done
python train.py experiment=blocks_dense_ssp seed=0 skills=runs/spirl/blocks-dense11/skills/seed0 \
    method.rl.frames=350000 evaluation.interim_every=50000
python -m benchmarks.collect runs benchmarks/results/blocks_sparse spirl/blocks-sparse11/blocks_sparse
python -m benchmarks.collect runs benchmarks/results/blocks_dense spirl/blocks-dense11/blocks_dense ssp/blocks-dense11/blocks_dense_ssp
cp runs/spirl/blocks-sparse11/blocks_sparse/seed0/film.gif docs/images/blocks_spirl.gif
# What the prior does before RL.
python train.py experiment=blocks_dense phase=skills seed=100 method.skills.cooldown=0 name=prior
for bound in 2 null; do
    python -m lightning_skills explore runs/spirl/blocks-dense11/prior method.rl.bound=$bound frames=30000 out=exploration_$bound
done
cp exploration_2/table.csv benchmarks/results/blocks_prior/bound2.csv
cp exploration_null/table.csv benchmarks/results/blocks_prior/unbounded.csv

# docs/benchmarks.md: updates/s and frames/s against a plain version, at one and at two threads.
python -m benchmarks.throughput --threads 1
python -m benchmarks.throughput --threads 2
# The same of meta-training.
python -m benchmarks.throughput --only meta --rounds 9 --seconds 0.7
python -m benchmarks.throughput --only meta --rounds 9 --seconds 0.7 --threads 2

# docs/benchmarks.md: what tracking costs, and what a checkpoint of a replay buffer writes.
python -m benchmarks.tracking --rounds 5
python -m benchmarks.checkpoints

# docs/benchmarks.md: frames/s of the kitchen against FrankaKitchen, on one and on two threads, whole and lean model.
python -m benchmarks.kitchen

# docs/envs/maze.md: speed of demonstrations and images, and how often random actions reach the goal.
python -m benchmarks.maze

# What collecting during updates gains.
python -m benchmarks.ahead

# Film strips of demonstrations: docs/envs/kitchen.md (microwave, light switch, slide cabinet, hinge cabinet) and blocks.md.
python -m benchmarks.film_strip docs/images/kitchen_demo.png 9 env=kitchen
python -m benchmarks.film_strip docs/images/blocks_demo.png env=blocks env.data.trajectories=1 env.data.stacks=4
