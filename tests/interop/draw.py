"""Random scheduler configs of each class of diffusers that rectdiff reads, over every key that bears on sampling.

Not drawn, as it samples at random: algorithm_type sde-*. Not drawn either: variance_type learned (it asks for another
network), solver_p, solver orders above 3, and the keys that only text-to-image pipelines read (base_shift, max_shift,
*_image_seq_len). What must be refused (thresholding, stochastic_sampling) is drawn now and then."""

import random


class Draw:
    """One config in the making; a key is left out now and then, so that its default is tried."""

    def __init__(self, rng):
        self.rng, self.config = rng, {}

    def put(self, key, value, leave_out=0.0):
        if self.rng.random() >= leave_out:
            self.config[key] = value
        return self.config.get(key)

    def pick(self, key, *values, leave_out=0.2):
        return self.put(key, self.rng.choice(values), leave_out)

    def number(self, key, lo, hi, leave_out=0.2):
        return self.put(key, float(f"{self.rng.uniform(lo, hi):.6g}"), leave_out)

    def seldom(self, key, value=True, chance=0.03):
        if self.rng.random() < chance:
            self.config[key] = value

    def one_of(self, *keys, chance):
        if self.rng.random() < chance:
            self.config[self.rng.choice(keys)] = True


def betas(d, zero_snr, schedules=("linear", "scaled_linear", "squaredcos_cap_v2")):
    n = d.pick("num_train_timesteps", 20, 50, 77, 100, 128, 333, 500, 1000, 1000) or 1000
    if n < 200 and d.rng.random() < 0.2:
        top = d.rng.uniform(5, 20) / n
        d.config["trained_betas"] = sorted(float(f"{d.rng.uniform(1e-4, top):.6g}") for _ in range(n))
    d.pick("beta_schedule", *schedules)
    d.number("beta_start", 0.05 / n, 1.5 / n, 0.4 if n == 1000 else 0)
    d.number("beta_end", 4 / n, min(25 / n, 0.6), 0.4 if n == 1000 else 0)
    if zero_snr:
        d.seldom("rescale_betas_zero_snr", chance=0.15)


def spacing(d, offset=True):
    d.pick("timestep_spacing", "linspace", "leading", "trailing")
    if offset:
        d.pick("steps_offset", 0, 1, 1, 2, leave_out=0.4)


def prediction(d, *more):
    d.pick("prediction_type", "epsilon", "sample", "v_prediction", *more)


def clip(d, chance):
    d.put("clip_sample", d.rng.random() < chance, 0.1)
    d.number("clip_sample_range", 0.5, 3, 0.5)


def kinds(d, *more):
    d.one_of("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", *more, chance=0.6)
    if d.config.get("use_flow_sigmas"):
        d.number("flow_shift", 0.3, 8)
        d.put("prediction_type", "flow_prediction", 0.1)
    d.seldom("use_flow_sigmas", chance=0.01)
    d.seldom("use_dynamic_shifting", chance=0.02)


def refused(d):
    d.seldom("thresholding", chance=0.02)


def final(d):
    d.pick("final_sigmas_type", "zero", "sigma_min")


def orders(d, *types):
    d.pick("solver_order", 1, 2, 3)
    d.pick("solver_type", *types)
    d.pick("lower_order_final", True, False)


def lambda_min(d):
    if d.rng.random() < 0.15:
        d.config["lambda_min_clipped"] = float(f"{d.rng.uniform(-6, -2):.6g}")


def dpm_algorithm(d):
    if d.pick("algorithm_type", "dpmsolver++", "dpmsolver++", "dpmsolver", "deis") == "dpmsolver":
        d.config["final_sigmas_type"] = d.rng.choice(["sigma_min"] * 9 + ["zero"])


def dpm_multistep(d):
    betas(d, True)
    spacing(d)
    prediction(d)
    orders(d, "midpoint", "midpoint", "heun", "heun", "bh2")
    final(d)
    dpm_algorithm(d)
    d.pick("euler_at_final", True, False)
    kinds(d, "use_lu_lambdas", "use_flow_sigmas")
    lambda_min(d)
    refused(d)


def dpm_singlestep(d):
    betas(d, False)
    prediction(d)
    orders(d, "midpoint", "midpoint", "heun", "heun", "logrho")
    final(d)
    dpm_algorithm(d)
    kinds(d, "use_flow_sigmas")
    lambda_min(d)
    refused(d)


def unipc(d):
    betas(d, True)
    spacing(d)
    prediction(d)
    orders(d, "bh1", "bh2", "bh2", "midpoint")
    final(d)
    if d.pick("predict_x0", True, True, False) is False or d.config.get("solver_type") == "bh1":
        d.config["final_sigmas_type"] = d.rng.choice(["sigma_min"] * 9 + ["zero"])
    if d.rng.random() < 0.2:
        d.config["disable_corrector"] = sorted(d.rng.sample(range(8), d.rng.randint(1, 4)))
    kinds(d, "use_flow_sigmas")
    if d.config.get("use_flow_sigmas") or d.rng.random() < 0.01:
        d.number("shift_terminal", 0.01, 0.3, 0.7)
    if any(d.config.get(f"use_{k}_sigmas") for k in ("karras", "exponential", "beta")):
        d.number("sigma_min", 0.005, 0.1, 0.7)
        d.number("sigma_max", 5, 80, 0.7)
    refused(d)


def deis(d):
    betas(d, False)
    spacing(d)
    prediction(d)
    orders(d, "logrho", "logrho", "midpoint")
    d.pick("algorithm_type", "deis", "deis", "dpmsolver++", "dpmsolver")
    kinds(d, "use_flow_sigmas")
    refused(d)


def euler(d):
    betas(d, True)
    spacing(d)
    prediction(d)
    final(d)
    kinds(d)
    d.pick("interpolation_type", "linear", "linear", "linear", "log_linear")
    d.pick("timestep_type", "discrete", "discrete", "continuous")
    if any(d.config.get(f"use_{k}_sigmas") for k in ("karras", "exponential", "beta")):
        d.number("sigma_min", 0.005, 0.1, 0.7)
        d.number("sigma_max", 5, 80, 0.7)


def heun(d):
    betas(d, False, ("linear", "scaled_linear", "squaredcos_cap_v2", "exp"))
    spacing(d)
    prediction(d)
    kinds(d)
    clip(d, 0.2)


def edm(d):
    d.number("sigma_min", 0.002, 0.05)
    d.number("sigma_max", 5, 80)
    d.number("sigma_data", 0.3, 1.2)
    d.number("rho", 3, 9, 0.6)
    d.pick("sigma_schedule", "karras", "karras", "exponential")
    d.pick("num_train_timesteps", 20, 1000)
    d.pick("prediction_type", "epsilon", "v_prediction")
    final(d)


def edm_dpm(d):
    edm(d)
    orders(d, "midpoint", "midpoint", "heun", "heun", "logrho")
    d.pick("euler_at_final", True, False)
    d.pick("algorithm_type", "dpmsolver++", "dpmsolver++", "deis")
    refused(d)


def flow_heun(d):
    d.pick("num_train_timesteps", 20, 100, 1000)
    d.number("shift", 0.3, 8)


def flow_euler(d):
    flow_heun(d)
    d.one_of("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", chance=0.4)
    d.seldom("invert_sigmas", chance=0.2)
    d.number("shift_terminal", 0.01, 0.3, 0.7)
    d.pick("time_shift_type", "exponential", "linear", leave_out=0.6)
    d.seldom("use_dynamic_shifting", chance=0.03)
    d.seldom("stochastic_sampling", chance=0.03)


def ddim(d):
    betas(d, True)
    spacing(d)
    prediction(d)
    clip(d, 0.4)
    d.pick("set_alpha_to_one", True, False)
    refused(d)


def ddpm(d):
    betas(d, True, ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"))
    spacing(d)
    prediction(d)
    clip(d, 0.4)
    refused(d)


def pndm(d):
    betas(d, False)
    spacing(d)
    d.pick("prediction_type", "epsilon", "v_prediction")
    d.pick("skip_prk_steps", True, False)
    d.pick("set_alpha_to_one", True, False)


CLASSES = {
    "DDPMScheduler": ddpm,
    "DDIMScheduler": ddim,
    "PNDMScheduler": pndm,
    "DPMSolverMultistepScheduler": dpm_multistep,
    "DPMSolverSinglestepScheduler": dpm_singlestep,
    "UniPCMultistepScheduler": unipc,
    "DEISMultistepScheduler": deis,
    "EulerDiscreteScheduler": euler,
    "HeunDiscreteScheduler": heun,
    "EDMEulerScheduler": edm,
    "EDMDPMSolverMultistepScheduler": edm_dpm,
    "FlowMatchEulerDiscreteScheduler": flow_euler,
    "FlowMatchHeunDiscreteScheduler": flow_heun,
}


def draw(seed, index, names):
    """Case `index` of a seed: a config and a number of steps. The classes take turns."""
    rng = random.Random(f"{seed}/{index}")
    name = names[index % len(names)]
    d = Draw(rng)
    d.config["_class_name"] = name
    CLASSES[name](d)
    steps = rng.randint(1, 12)
    if rng.random() < 0.08:  # from 15 steps on the last ones keep their order
        steps = rng.randint(14, 17)
    if rng.random() < 0.05:  # times that numpy rounds otherwise than the formula does come with many
        steps = rng.randint(18, 130)
    if name in ("DDPMScheduler", "PNDMScheduler"):  # compared under DDIM, whose steps meet where N/K is whole
        n = d.config.get("num_train_timesteps", 1000)
        steps = rng.choice([k for k in range(1, 13) if n % k == 0])
    return d.config, steps
