"""A trajectory of MuJoCo's engine for the cart and pole of `CartPoleSwingUp-v0`, for `envs/tests/parity.rs`.

Usage: python generate.py > data.json          (mujoco 3.17.0)

The model has the masses, lengths, dampers and time step of the task and no ends of the track, which are soft in MuJoCo.
The controls are a slow cosine that rocks the pole without carrying the cart away.
"""

import json
import math
import os
import tempfile

import mujoco
import numpy as np

MODEL = """
<mujoco>
  <option timestep="0.01" integrator="RK4" gravity="0 0 -9.81"><flag contact="disable"/></option>
  <worldbody>
    <body pos="0 0 1">
      <joint name="slider" type="slide" axis="1 0 0" damping="5e-4"/>
      <geom type="box" size="0.2 0.15 0.1" mass="1"/>
      <body>
        <joint type="hinge" axis="0 1 0" damping="2e-6"/>
        <geom type="capsule" fromto="0 0 0 0 0 1" size="0.045" mass="0.1"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor joint="slider" gear="10" ctrllimited="true" ctrlrange="-1 1"/></actuator>
</mujoco>
"""
STEPS, EVERY = 1000, 50


def main():
    # A warning of MuJoCo's would become a file of the current folder.
    os.chdir(tempfile.mkdtemp())
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    data.qpos[:] = [-0.5, math.pi - 0.02]
    states = [[*data.qpos, *data.qvel]]
    for i in range(STEPS):
        data.ctrl[0] = np.float32(0.5 * math.cos(0.045 * i))
        mujoco.mj_step(model, data)
        assert abs(data.qpos[0]) < 1.8, "the cart left the track"
        if (i + 1) % EVERY == 0:
            states.append([*data.qpos, *data.qvel])
    rows = ",\n ".join(json.dumps(state) for state in states)
    print(f'{{"mujoco": "{mujoco.__version__}", "every": {EVERY}, "states": [\n {rows}\n]}}')


if __name__ == "__main__":
    main()
