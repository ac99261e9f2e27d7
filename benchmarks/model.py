"""The whole model: time and memory of a step against the released architecture, memory
against depth, and both scopes of attention.

    python benchmarks/model.py                          all of it: half an hour
    python benchmarks/model.py --only step --frames 4   one part, one length
    python benchmarks/model.py --volume 30 36 30 --memory-frames 12 --frames 2

The last is a trial of the whole in two minutes.

The released architecture is made again from public parts below: plain convolutions with
all frames at once, and Mamba's recurrence as a loop over tokens. It has our parameters'
names, so it is given our weights first and must give our logits. 'scan free' is the
same model with a scan that costs nothing (its output is wrong): what remains is the
most that a faster scan alone could win.

One thread. Every measurement is a process of its own: process CPU time of one pass, and
the peak of resident memory above what weights and scans take.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace

os.environ.update(OMP_NUM_THREADS='1', NUMBA_NUM_THREADS='1')
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from brainmt.model.attention import SCOPES, Attention, attention_flops
from brainmt.model.brainmt import PRESETS, BrainMT
from brainmt.model.estimate import estimate

# -- the released architecture from public parts ---------------------------------------


def loop_scan(u, delta, A, B, C, D):
    """Mamba's recurrence as written: every state kept, one step of Python for each
    token. u, delta: (b, d, l); A: (d, n); B, C: (b, n, l).
    """
    decay = torch.exp(torch.einsum('bdl,dn->bdln', delta, A))
    push = torch.einsum('bdl,bnl,bdl->bdln', delta, B, u)
    state, ys = u.new_zeros(u.shape[0], u.shape[1], A.shape[1]), []
    for a, b, c in zip(decay.unbind(2), push.unbind(2), C.unbind(2)):
        state = a * state + b
        ys.append(torch.einsum('bdn,bn->bd', state, c))
    return torch.stack(ys, 2) + u * D[:, None]


def no_scan(u, delta, A, B, C, D):
    """Something of the right shape for next to nothing, through which every gradient
    flows.
    """
    return u * D[:, None] + delta * (B * C).sum(1, keepdim=True) + A.sum()


class Mixer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, self.n, self.rank = c.expand * c.d_model, c.d_state, -(-c.d_model // 16)
        self.A_log, self.D = (
            nn.Parameter(torch.log(torch.arange(1.0, self.n + 1)).repeat(d, 1)),
            nn.Parameter(torch.ones(d)),
        )
        self.in_proj, self.conv1d = (
            nn.Linear(c.d_model, 2 * d, bias=False),
            nn.Conv1d(d, d, c.d_conv, groups=d, padding=c.d_conv - 1),
        )
        self.x_proj, self.dt_proj = (
            nn.Linear(d, self.rank + 2 * self.n, bias=False),
            nn.Linear(self.rank, d),
        )
        self.out_proj = nn.Linear(d, c.d_model, bias=False)

    def forward(self, h):
        x, z = rearrange(self.in_proj(h), 'b l d -> b d l').chunk(2, 1)
        x = F.silu(self.conv1d(x)[..., : h.shape[1]])
        dt, B, C = rearrange(
            self.x_proj(rearrange(x, 'b d l -> b l d')), 'b l d -> b d l'
        ).split([self.rank, self.n, self.n], 1)
        delta = F.softplus(
            torch.einsum('bdl,ed->bel', dt, self.dt_proj.weight)
            + self.dt_proj.bias[:, None]
        )
        y = self.scan(x, delta, -torch.exp(self.A_log), B, C, self.D) * F.silu(z)
        return self.out_proj(rearrange(y, 'b d l -> b l d'))


class RMSNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


class Heads(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.qkv, self.proj = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)

    def forward(self, x):
        q, k, v = rearrange(
            self.qkv(x), 'b l (three h d) -> three b h l d', three=3, h=self.heads
        )
        return self.proj(
            rearrange(F.scaled_dot_product_attention(q, k, v), 'b h l d -> b l (h d)')
        )


class Block(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.conv1, self.norm1, self.conv2, self.norm2 = (
            nn.Conv3d(d, d, 3, padding=1),
            nn.LayerNorm(d),
            nn.Conv3d(d, d, 3, padding=1),
            nn.LayerNorm(d),
        )

    def forward(self, x):
        last = lambda norm, x: norm(x.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)
        return x + last(
            self.norm2,
            self.conv2(F.gelu(last(self.norm1, self.conv1(x)), approximate='tanh')),
        )


def named(**modules):
    "A module with these parts, in order."
    out = nn.Module()
    for name, m in modules.items():
        out.add_module(name, m)
    return out


class Released(nn.Module):
    "Parameters under the released names; `scan` is how the recurrence is computed."

    def __init__(self, c, scan):
        super().__init__()
        self.c, d, halve = (
            c,
            c.d_model,
            lambda a, b: nn.Conv3d(a, b, 3, stride=2, padding=1, bias=False),
        )
        self.cls_token, self.pos_embed = (
            nn.Parameter(torch.zeros(1, 1, d)),
            nn.Parameter(torch.zeros(1, 1 + c.n_tokens, d)),
        )
        self.temporal_pos_embedding, self.norm = (
            nn.Parameter(torch.zeros(1, c.num_frames, d)),
            nn.LayerNorm(d),
        )
        w = (1, *c.stem_widths, *c.stage_widths)
        self.patch_embed = named(
            conv_down=nn.Sequential(
                halve(w[0], w[1]), nn.ReLU(), halve(w[1], w[2]), nn.ReLU()
            )
        )
        for i in (0, 1):
            self.add_module(f'conv_block{i}', Block(w[2 + i]))
            self.add_module(
                f'downsample{i}',
                named(reduction=nn.Sequential(halve(w[2 + i], w[3 + i]))),
            )
        self.head = nn.Linear(d, c.num_outputs)
        self.layers = nn.ModuleList(
            named(mixer=Mixer(c), norm=RMSNorm(d)) for _ in range(c.n_mamba)
        )
        self.blocks = nn.ModuleList(Heads(d, c.n_heads) for _ in range(c.n_attention))
        self.mlp, self.norm_f = (
            named(fc1=nn.Linear(d, 2 * d), fc2=nn.Linear(2 * d, d)),
            RMSNorm(d),
        )
        for layer in self.layers:
            layer.mixer.scan = scan

    def forward(self, x):
        b, t = x.shape[:2]
        # all frames at once
        x = self.patch_embed.conv_down(rearrange(x, 'b t c x y z -> (b t) c x y z'))
        for i in (0, 1):
            x = getattr(self, f'downsample{i}').reduction(
                getattr(self, f'conv_block{i}')(x)
            )
        x = (
            rearrange(x, '(b t) c x y z -> b (x y z) t c', b=b)
            + self.pos_embed[:, 1:, None]
            + self.temporal_pos_embedding[:, None, :t]
        )
        h, residual = (
            torch.cat(
                [
                    (self.cls_token + self.pos_embed[:, :1]).expand(b, -1, -1),
                    rearrange(x, 'b n t c -> b (n t) c'),
                ],
                1,
            ),
            0,
        )
        for layer in self.layers:
            residual = residual + h
            h = layer.mixer(layer.norm(residual))
        h = self.norm_f(residual + h)
        for block in self.blocks:
            h = h + block(self.norm(h))
            h = h + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm(h))))
        return self.head(h[:, 0])


MODELS = {
    'released': lambda c: Released(c, loop_scan),
    'scan free': lambda c: Released(c, no_scan),
    'ours': BrainMT,
}

# -- one measurement, in a process of its own ------------------------------------------


def config_of(volume, frames, preset='released', **changes):
    return replace(
        PRESETS[preset],
        volume=tuple(volume),
        num_frames=frames,
        drop_path=0.0,
        **changes,
    )


def resident(key):
    "Bytes of this process: VmRSS now, VmHWM at the highest."
    with open('/proc/self/status') as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(key))


def forget_peak():
    with open('/proc/self/clear_refs', 'w') as f:
        f.write('5')


def one_pass(model, x, optimiser=None):
    if optimiser is None:
        with torch.no_grad():
            model(x)
            return
    model(x).square().mean().backward()
    optimiser.step()
    optimiser.zero_grad()


def child(job):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    make, train = MODELS[job['model']], job['train']
    # compiles the scan, wakes the libraries
    small = make(config_of((17, 17, 17), 2, job['preset']))
    one_pass(
        small,
        torch.randn(1, 2, 1, 17, 17, 17),
        torch.optim.AdamW(small.parameters()) if train else None,
    )
    del small
    model = make(
        config_of(job['volume'], job['frames'], job['preset'], **job['changes'])
    ).train(train)
    x, optimiser = (
        torch.randn(1, job['frames'], 1, *job['volume']),
        torch.optim.AdamW(model.parameters()) if train else None,
    )
    forget_peak()
    before, start = resident('VmRSS'), time.process_time()
    one_pass(model, x, optimiser)
    print(
        json.dumps(
            dict(seconds=time.process_time() - start, peak=resident('VmHWM') - before)
        )
    )


def measure(model, volume, frames, train=False, preset='released', **changes):
    job = dict(
        model=model,
        volume=list(volume),
        frames=frames,
        train=train,
        preset=preset,
        changes=changes,
    )
    run = subprocess.run(
        [sys.executable, __file__, '--child', json.dumps(job)],
        capture_output=True,
        text=True,
    )
    if run.returncode:
        sys.exit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


# -- the parts -------------------------------------------------------------------------


def same_numbers():
    "The released architecture as made here is the one that the library has."
    torch.manual_seed(0)
    config = config_of((33, 35, 34), 3)
    ours, theirs = BrainMT(config).eval(), Released(config, loop_scan).eval()
    assert list(theirs.state_dict()) == list(ours.state_dict()), (
        'other parameters, or in another order'
    )
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 1, 33, 35, 34)
    with torch.no_grad():
        a, b = ours(x).item(), theirs(x).item()
    assert abs(a - b) < 1e-4 * max(1, abs(a)), f'{a} and {b}: not the same model'
    print(f'One set of weights, one logit: {a:.5f} and {b:.5f}\n', flush=True)


def step(volume, lengths, rounds):
    print(
        f'{"released preset, 1 scan of " + "×".join(map(str, volume)):<44} '
        f'{"released":>10} {"scan free":>10} {"ours":>10}   {"free scan":>9} '
        f'{"ours":>7} {"reached":>8}   {"peak MiB, released":>19} {"ours":>8} '
        f'{"ratio":>6}'
    )
    for frames in lengths:
        for train in (False, True):
            found = [
                {name: measure(name, volume, frames, train) for name in MODELS}
                for _ in range(rounds)
            ]
            seconds = {
                name: statistics.median(f[name]['seconds'] for f in found)
                for name in MODELS
            }
            peak = {
                name: max(f[name]['peak'] for f in found) / 2**20 for name in MODELS
            }
            free, ours = (
                seconds['released'] / seconds['scan free'],
                seconds['released'] / seconds['ours'],
            )
            what = f'{frames} frames, {"training step" if train else "forward"}'
            print(
                f'{what:<44} '
                + ' '.join(f'{seconds[name]:>8.2f} s' for name in MODELS)
                + f'   {free:>8.2f}× {ours:>6.2f}× {ours / free:>8.0%}   '
                f'{peak["released"]:>19,.0f} {peak["ours"]:>8,.0f} '
                f'{peak["ours"] / peak["released"]:>6.2f}',
                flush=True,
            )
    print(
        "'free scan' and 'ours' are speed-ups over 'released'; 'reached' is the "
        'second over the first (goal: at least 90 %); goal for the memory ratio: at '
        'most 0.6.\n'
    )


def memory(volume, frames):
    chunk = 8
    config = config_of(volume, frames, 'paper', frames_per_chunk=chunk)
    sequence = (1 + frames * config.n_tokens) * config.d_model * 4
    dry = lambda part, t=frames, **changes: estimate(
        replace(config, num_frames=max(t, 1), **changes), frames=t
    ).memory[part]
    cnn, layer = (
        dry('CNN', min(chunk, frames), n_mamba=0, n_attention=0),
        max(
            dry('Mamba', n_mamba=1, n_attention=0),
            dry('attention', n_mamba=0, n_attention=1),
        )
        - sequence,
    )
    allowed = 1.2 * (sequence + cnn + layer)
    print(
        f'paper preset, {frames} frames, forward without gradients, MiB above weights '
        f'and scans. The sequence takes {sequence / 2**20:,.0f}, a CNN chunk of '
        f'{chunk} frames {cnn / 2**20:,.0f}, the greediest layer {layer / 2**20:,.0f} '
        f'(dry runs); 1.2 × their sum: {allowed / 2**20:,.0f}'
    )
    for m, a in ((2, 1), (12, 8)):
        found = measure(
            'ours',
            volume,
            frames,
            preset='paper',
            frames_per_chunk=chunk,
            n_mamba=m,
            n_attention=a,
        )
        print(
            f'  {m:>2} Mamba layers, {a} attention blocks: '
            f'{found["peak"] / 2**20:>8,.0f} MiB  '
            f'({"within" if found["peak"] <= allowed else "ABOVE"} the bound; '
            f'{found["seconds"]:.1f} s)',
            flush=True,
        )
    print()


def scopes(lengths, rounds=5):
    torch.set_num_threads(1)
    print(
        f'{"one attention, 252 tokens, width 512":<44} '
        + ' '.join(f'{s:>12}' for s in SCOPES)
        + f' {"measured":>10} {"counted":>9}'
    )
    for frames in lengths:
        x, modules = (
            torch.randn(1, 1 + 252 * frames, 512),
            {s: Attention(512, 2, scope=s).eval() for s in SCOPES},
        )

        def seconds(s):
            start = time.process_time()
            with torch.no_grad():
                modules[s](x, 252, frames)
            return time.process_time() - start

        for s in SCOPES:
            seconds(s)
        times = [{s: seconds(s) for s in SCOPES} for _ in range(rounds)]
        projections = 2 * x.shape[1] * 512 * 4 * 512
        counted = (attention_flops('spacetime', 252, frames, 512) + projections) / (
            attention_flops('spatial', 252, frames, 512) + projections
        )
        print(
            f'{f"{frames} frames":<44} '
            + ' '.join(
                f'{statistics.median(t[s] for t in times) * 1e3:>9.1f} ms'
                for s in SCOPES
            )
            + ' '
            f'{statistics.median(t["spacetime"] / t["spatial"] for t in times):>9.2f}× '
            f'{counted:>8.2f}×',
            flush=True,
        )
    print('The ratio is spacetime over spatial, projections included.\n')


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--volume', type=int, nargs=3, default=(91, 109, 91))
    parser.add_argument('--frames', type=int, nargs='+', default=(4, 8))
    parser.add_argument('--memory-frames', type=int, default=50)
    parser.add_argument('--rounds', type=int, default=1)
    parser.add_argument('--only', choices=('step', 'memory', 'scopes'))
    parser.add_argument('--child', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(json.loads(args.child))
    if args.only in (None, 'scopes'):
        scopes((1, 4, 8, 20))
    if args.only in (None, 'step'):
        same_numbers()
        step(args.volume, args.frames, args.rounds)
    if args.only in (None, 'memory'):
        memory(args.volume, args.memory_frames)


if __name__ == '__main__':
    main()
