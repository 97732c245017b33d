#!/usr/bin/env python3
"""Random scheduler configs, sampled by odesample and by diffusers from the same noise with the same network.

Run by hand, with the packages of requirements.txt; README.md has the command and the verdicts. Exits with 1 where any
case is one of FAILURES."""

import argparse
import collections
import json
import os
import platform
import re
import subprocess
import sys
import tempfile

import diffusers
import msgpack
import numpy as np
import scipy
import torch

import oracle
from draw import CLASSES, draw

TOLERANCE, CLIPPED_TOLERANCE = 1e-5, 1e-4  # of the largest value of the reference
NOISE = 3  # times diffusers' own error in float32: so far is another order of its arithmetic from it
NET_SEED, IMAGES = 7, 2



def kinds(config):
    return [k for k in ("karras_sigmas", "exponential_sigmas", "beta_sigmas", "lu_lambdas") if config.get("use_" + k)]


# What we refuse though diffusers takes it: what the message names, for which configs, and why.
REFUSED = (
    ("thresholding", lambda c: c.get("thresholding"), "dynamic thresholding is not ours"),
    ("use_dynamic_shifting", lambda c: c.get("use_dynamic_shifting"), "the shift comes from a call, not the config"),
    ("invert_sigmas", lambda c: c.get("invert_sigmas"), "from data to noise: denoise --reverse"),
    ("stochastic_sampling", lambda c: c.get("stochastic_sampling"), "random"),
    ("alpha = 0", lambda c: c.get("rescale_betas_zero_snr"), "epsilon says nothing of x0; diffusers clamps infinity"),
    ("prediction_type: v_prediction", lambda c: c.get("use_flow_sigmas"), "diffusers' v wants alpha^2 + sigma^2 = 1"),
    ("use_flow_sigmas", lambda c: c.get("use_flow_sigmas") and kinds(c), "two schedules are mixed"),
)

DISTANCES = ("diffusers", "as they are", "rounded well", "float64", "own")
FAILURES = ("differs", "refused by us only", "accepted by us only", "crashed")


class Tools:
    """The suite's executables in one folder, and the files of a run in another."""

    def __init__(self, bin_dir, folder, net, noise):
        self.bin, self.folder = os.path.abspath(bin_dir), folder
        net.save_pretrained(self.path("model/unet"))
        self.write("model/scheduler/scheduler_config.json", json.dumps({"_class_name": "DDPMScheduler"}))
        np.save(self.path("noise.npy"), noise)
        self.call("tensorcat", "-q", "--to", "frame", "-r", "noise", "noise=" + self.path("noise.npy"), "-f", "-o",
                  self.path("noise"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as f:
            f.write(text)

    def call(self, tool, *args):
        """The output; RuntimeError with what the tool said where it failed."""
        p = subprocess.run([os.path.join(self.bin, tool), *args], capture_output=True)
        if p.returncode:
            text = p.stderr.decode(errors="replace").strip()
            raise RuntimeError(f"{tool}: exit {p.returncode}: {text}".replace(self.folder + "/", ""))
        return p.stdout

    def solve(self, config, steps, *more):
        """odesample from the noise under a scheduler config, into the file `out`."""
        if oracle.stand_in(config):
            more += ("--solver", "ddim", "--spacing", "leading")
        self.call("odesample", "-q", "-j", "1", "-m", self.path("model"), "--scheduler", self.path("scheduler.json"),
                  "--steps", str(steps), *more, self.path("noise"), "-f", "-o", self.path("out"))

    def sample(self, config, steps):
        """Every second time from the config as diffusers saves it, where it accepts it."""
        text = attempt(oracle.saved, config)[0] if steps % 2 else None
        self.write("scheduler.json", text or json.dumps(config))
        self.solve(config, steps)
        return self.array("sample")

    def array(self, field):
        self.call("tensorcat", "-q", "--to", "npy", "-n", field, self.path("out"), "-f", "-o", self.path("out.npy"))
        return np.load(self.path("out.npy"))

    def walk(self, config, steps):
        """The grid that our trajectory's header gives, and its states [image, node, ...]."""
        self.solve(config, steps, "--trajectory")
        with open(self.path("out"), "rb") as f:
            meta = next(msgpack.Unpacker(f))["meta"]
        return meta["grid"], self.array("x")


def distance(a, reference):
    """Of the largest value of the reference."""
    return float(np.abs(a - reference).max() / np.abs(reference).max())


def documented(message, config):
    return next((why for name, holds, why in REFUSED if name in message and holds(config)), None)


def slips(config, steps):
    """Where diffusers takes one step more than it is asked for: numpy.arange(N, 0, -N/K) may have one value more than K, the last
    at time -1; and EulerDiscrete's log_linear has K + 1 sigmas, which its continuous times count as steps."""
    if config.get("interpolation_type") == "log_linear" and config.get("timestep_type") == "continuous":
        return config.get("prediction_type") == "v_prediction"
    n = config.get("num_train_timesteps", 1000)
    return config.get("timestep_spacing") == "trailing" and len(np.arange(n, 0, -(n / steps))) != steps


def stays(config, steps):
    """Of one step EDMEuler makes none: with "sigma_min" it ends at the last sigma it has, which is the first; and its exponential
    sigmas, of which there is one, are the least noise."""
    return config["_class_name"] == "EDMEulerScheduler" and steps == 1 and (
        config.get("final_sigmas_type") == "sigma_min" or config.get("sigma_schedule") == "exponential")


def compare(o, config, steps, ours, theirs, times):
    """A verdict, with the distances: to diffusers, to exact arithmetic on its tables and on those of other rounding,
    and of diffusers from exact arithmetic."""
    times = oracle.whole(times)  # in float64 they could be cut otherwise
    exact = {kind: o.run64(config, steps, kind, times)[0] for kind in ("as they are", "float64")}
    found = {"diffusers": distance(ours, theirs), **{kind: distance(ours, end) for kind, end in exact.items()}}
    found["own"] = distance(theirs, exact["as they are"])
    tolerance = CLIPPED_TOLERANCE if config.get("clip_sample") else TOLERANCE
    nearest = np.nanmin([found["diffusers"], found["as they are"]])
    if nearest <= tolerance:
        return dict(found, verdict="equal")
    if nearest <= NOISE * found["own"]:
        return dict(found, verdict="equal within diffusers' own error")
    found["rounded well"] = distance(ours, o.run64(config, steps, "rounded well")[0])
    if found["rounded well"] <= max(tolerance, NOISE * found["own"]):
        return dict(found, verdict="equal but for the CPU's rounding")
    return dict(found, verdict="equal to float64 only" if found["float64"] <= tolerance else "differs")


def attempt(call, *args):
    """What a call returns, or None and what it raised."""
    try:
        return call(*args), None
    except Exception as e:  # whatever diffusers raises is its way to refuse
        return None, f"{type(e).__name__}: {e}"


def case(o, tools, config, steps):
    """One config: what both make of it."""
    theirs, their_message = attempt(o.run, config, steps)
    ours, our_message = attempt(tools.sample, config, steps)
    said = {"ours": our_message, "theirs": their_message}
    if our_message and not re.search(r"exit [123]:", our_message):
        return dict(said, verdict="crashed")
    if their_message and "LinAlgError" in their_message:  # an infinite step
        return dict(said, verdict="undefined in diffusers")
    if theirs is None:
        return dict(said, verdict="refused by both" if our_message else "accepted by us only")
    if not np.isfinite(theirs[0]).all():
        return dict(said, verdict="undefined in diffusers")
    if our_message:
        return dict(said, verdict="refused as documented" if documented(our_message, config) else "refused by us only")
    if not oracle.stand_in(config) and slips(config, steps):
        return dict(said, verdict="one step too many in diffusers")
    if stays(config, steps):
        return dict(said, verdict="does not move in diffusers")
    return compare(o, config, steps, ours, *theirs[:2])


def tables(results):
    """Counts of each verdict and the worst distances of what is equal, by class."""
    counts, worst = collections.defaultdict(collections.Counter), collections.defaultdict(dict)
    for r in results:
        name = r["config"]["_class_name"]
        counts[name][r["verdict"]] += 1
        if r["verdict"] == "equal":
            for key in set(DISTANCES) & set(r):
                worst[name][key] = max(worst[name].get(key, 0), r[key])
    return counts, worst


def print_tables(counts, worst):
    for name, verdicts in counts.items():
        print(f"{name}: " + ", ".join(f"{n} {v}" for v, n in verdicts.most_common()))
        if worst[name]:
            print("    worst of the equal: " + ", ".join(f"{k} {d:.1e}" for k, d in worst[name].items()))


def explain(r):
    """A case on a few lines."""
    print(f"-k {r['index']}: {r['verdict']}, --steps {r['steps']}: {json.dumps(r['config'])}")
    for who in ("ours", "theirs"):
        if r.get(who):
            print(f"    {who}: {r[who]}")
    if "own" in r:
        print("    " + ", ".join(f"{k} {r[k]:.2e}" for k in DISTANCES if k in r))


def show_steps(o, tools, config, steps):
    """Both walks side by side: times, and how far the states are apart after the best scaling of ours to theirs."""
    (_, times, states), failed = attempt(o.run, config, steps)[0] or (None, [], []), None
    print("diffusers passes the network:", " ".join(f"{t:g}" for t in times))
    walked, failed = attempt(tools.walk, config, steps)
    if failed:
        print("ours:", failed)
        return
    grid, x = walked
    for key, values in grid.items():
        print(f"our grid, {key}:", " ".join(f"{v:.6g}" for v in values))
    if x.shape[1] != len(states) + 1:
        print(f"our trajectory has {x.shape[1]} states, diffusers' {len(states)} and the end")
    for k, theirs in enumerate(states[:x.shape[1]]):
        a = x[:, k].astype(np.float64)
        scale = float((a * theirs).sum() / (a * a).sum())
        print(f"  step {k}: time {times[k]:g}, scale {scale:.6g}, apart {distance(scale * a, theirs):.2e}")


def versions(tools):
    own = tools.call("odesample", "--version").decode().split()[-1]
    return {"rectdiff": own, "diffusers": diffusers.__version__, "torch": torch.__version__, "numpy": np.__version__,
            "scipy": scipy.__version__, "python": platform.python_version()}


def run(o, options, tools):
    names = [options.only] if options.only else list(CLASSES)
    results = []
    for index in [options.index] if options.index is not None else range(options.count):
        config, steps = draw(options.seed, index, names)
        r = dict(case(o, tools, config, steps), index=index, steps=steps, config=config)
        results.append(r)
        if r["verdict"] in FAILURES or options.index is not None:
            explain(r)
        if options.index is not None:
            show_steps(o, tools, config, steps)
    return results


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("-n", "--count", type=int, default=200, help="how many configs")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bin", default="build/bin", help="folder of the tools")
    p.add_argument("--class", dest="only", choices=CLASSES, help="of this class only")
    p.add_argument("-k", "--index", type=int, help="only this case, step by step")
    p.add_argument("--result", help="write the figures here, as JSON")
    options = p.parse_args()
    torch.set_num_threads(1)
    o = oracle.Oracle(NET_SEED, IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(options.bin, folder, o.net, o.noise.numpy())
        results = run(o, options, tools)
        made_by = versions(tools)
    counts, worst = tables(results)
    print_tables(counts, worst)
    failed = [r for r in results if r["verdict"] in FAILURES]
    if options.result:
        with open(options.result, "w", encoding="utf-8") as f:
            json.dump({"versions": made_by, "seed": options.seed, "configs": len(results), "verdicts": counts,
                       "worst": worst, "failures": failed}, f, indent=2)
            f.write("\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
