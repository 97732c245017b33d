"""Adds cases to tests/golden/cifar-like: end points of diffusers' schedulers, run as its pipelines run them.

    python tests/golden/cases.py        (with diffusers; versions in tests/interop/requirements.txt)
"""
import json
import pathlib

import diffusers
import numpy as np
import torch

HERE = pathlib.Path(__file__).parent / "cifar-like"
STEPS = 6

# name: class, keys
CASES = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_karras_leading": ("EulerDiscreteScheduler", dict(
        use_karras_sigmas=True, timestep_spacing="leading", steps_offset=1, prediction_type="v_prediction")),
    "euler_loglinear_sigmamin": ("EulerDiscreteScheduler", dict(
        interpolation_type="log_linear", timestep_spacing="trailing", rescale_betas_zero_snr=True)),
    "euler_continuous": ("EulerDiscreteScheduler", dict(
        timestep_type="continuous", prediction_type="v_prediction", use_karras_sigmas=True, sigma_min=0.02,
        sigma_max=50.0, final_sigmas_type="sigma_min")),
    "heun": ("HeunDiscreteScheduler", {}),
    "heun_clip_exponential": ("HeunDiscreteScheduler", dict(
        clip_sample=True, clip_sample_range=4.0, use_exponential_sigmas=True, prediction_type="sample",
        beta_schedule="exp", timestep_spacing="trailing")),
    "dpm3_heun": ("DPMSolverMultistepScheduler", dict(
        algorithm_type="dpmsolver", solver_order=3, solver_type="heun", final_sigmas_type="sigma_min",
        beta_schedule="squaredcos_cap_v2", lower_order_final=False)),
    "dpmpp2m_heun_beta": ("DPMSolverMultistepScheduler", dict(
        solver_type="heun", use_beta_sigmas=True, timestep_spacing="trailing")),
    "dpmpp2m_lu": ("DPMSolverMultistepScheduler", dict(use_lu_lambdas=True, euler_at_final=True)),
    "dpmpp3m_cut": ("DPMSolverMultistepScheduler", dict(
        solver_order=3, lambda_min_clipped=-4.0, prediction_type="v_prediction")),
    "dpmpp2m_flow": ("DPMSolverMultistepScheduler", dict(
        use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction")),
    "single2": ("DPMSolverSinglestepScheduler", dict(solver_order=2)),
    "single3": ("DPMSolverSinglestepScheduler", dict(solver_order=3)),
    "single3_eps_heun": ("DPMSolverSinglestepScheduler", dict(
        solver_order=3, solver_type="heun", algorithm_type="dpmsolver", final_sigmas_type="sigma_min")),
    "single2_karras": ("DPMSolverSinglestepScheduler", dict(
        solver_order=2, solver_type="heun", use_karras_sigmas=True, prediction_type="sample")),
    "deis2": ("DEISMultistepScheduler", {}),
    "deis3_karras": ("DEISMultistepScheduler", dict(solver_order=3, use_karras_sigmas=True)),
    "deis3_v": ("DEISMultistepScheduler", dict(
        solver_order=3, prediction_type="v_prediction", lower_order_final=False, timestep_spacing="trailing")),
    "unipc3": ("UniPCMultistepScheduler", dict(solver_order=3, timestep_spacing="trailing")),
    "unipc3_bh1": ("UniPCMultistepScheduler", dict(
        solver_order=3, solver_type="bh1", final_sigmas_type="sigma_min", disable_corrector=[0, 2])),
    "unipc2_eps": ("UniPCMultistepScheduler", dict(
        predict_x0=False, final_sigmas_type="sigma_min", lower_order_final=False, use_exponential_sigmas=True,
        sigma_max=40.0, solver_order=1)),
    "unipc2_flow": ("UniPCMultistepScheduler", dict(
        use_flow_sigmas=True, flow_shift=2.0, prediction_type="flow_prediction", shift_terminal=0.05)),
    "edm_euler": ("EDMEulerScheduler", {}),
    "edm_dpm3": ("EDMDPMSolverMultistepScheduler", dict(
        solver_order=3, sigma_max=20.0, sigma_data=1.0, rho=5.0, prediction_type="v_prediction",
        sigma_schedule="exponential", final_sigmas_type="sigma_min")),
    "flow_heun_shift": ("FlowMatchHeunDiscreteScheduler", dict(shift=2.0)),
    "flow_karras_terminal": ("FlowMatchEulerDiscreteScheduler", dict(
        use_karras_sigmas=True, shift=3.0, shift_terminal=0.1)),
    "flow_beta": ("FlowMatchEulerDiscreteScheduler", dict(use_beta_sigmas=True)),
}


@torch.no_grad()
def run(model, scheduler, x):
    scheduler.set_timesteps(STEPS)
    x = x * getattr(scheduler, "init_noise_sigma", 1.0)
    times = []
    for t in scheduler.timesteps:
        y = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        x = scheduler.step(model(y, t).sample, t, x).prev_sample
        times.append(float(t))
    return x, times


def main():
    model = diffusers.UNet2DModel.from_pretrained(HERE / "model", subfolder="unet")
    x = torch.from_numpy(np.load(HERE / "x.npy"))
    file = HERE / "cases.json"
    cases = json.loads(file.read_text())
    for name, (cls, keys) in CASES.items():
        scheduler = getattr(diffusers, cls)(**keys)
        scheduler.save_pretrained(HERE / name)
        end, times = run(model, scheduler, x)
        assert torch.isfinite(end).all(), name
        np.save(HERE / f"{name}.npy", end.numpy())
        cases[name] = {"steps": STEPS, "timesteps": times, "max": float(end.abs().max())}
        print(f"{name:26} {cases[name]['max']:.4g}")
    file.write_text(json.dumps(cases, indent=1) + "\n")


main()
