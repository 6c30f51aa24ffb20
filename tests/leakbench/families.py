#!/usr/bin/env python3
"""Families of behaviour beside those of generate.py, and their generator.

    families.py --set SET --seed 7 --n 200 --out own.jsonl [--blind own.blind.jsonl]

`seen` was looked at while the detector was made; `seen_since`, `seen_later` and `seen_last`, which had been held out,
and `seen_beside` when it was improved. `held_out` was not: its figures say what to expect of behaviour that nobody
thought of. `cached` carries the
field `cached_bytes`, what registered caches say they hold, and is undecidable without it. Everything else about a
series (noise, warm-up, limit, gaps, restarts) is drawn as generate.py does.
"""
import argparse
import json
import math
import zlib

import numpy as np

from generate import BLIND, H, Series, finish, self_logu


# ---------------------------------------------------------------- seen while tuning: leaks
def leak_bursty(rng):
    """Now and then something is lost: random times, sizes over two orders of magnitude."""
    rate, gap = self_logu(rng, 0.003, 0.04), self_logu(rng, 0.1, 1.5)
    s = Series(rng, max(self_logu(rng, 6, 120), 0.25 / rate, 15 * gap))
    times = np.cumsum(rng.exponential(gap * H, int(2 * s.dur / (gap * H)) + 20))
    times = times[times < s.dur]
    sizes = rng.lognormal(0, 1.0, len(times))
    total = rate * s.base * s.dur / H
    sizes *= total / sizes.sum()
    cum = np.concatenate([[0.0], np.cumsum(sizes)])
    s.leak = cum[np.searchsorted(times, s.t, side="right")]
    s.leak_start = float(times[0])
    mean, end = total / s.dur, float(s.t[-1])
    s.leak_fn = lambda t, last=float(s.leak[-1]): np.where(
        np.asarray(t) <= end, np.interp(t, s.t, s.leak), last + mean * (np.asarray(t) - end))
    return s


def leak_beside_fill(rng):
    """A cache fills and stays full; a leak goes on beneath it."""
    rate, fill = self_logu(rng, 0.003, 0.03), self_logu(rng, 0.3, 8)
    s = Series(rng, max(self_logu(rng, 12, 140), 0.25 / rate, 3 * fill))
    s.extra += s.base * s.u(0.1, 0.8) * np.clip(s.t / (fill * H), 0, 1)
    s.linear_leak(rate)
    return s


def leak_native(rng):
    """Memory that the allocator does not see."""
    rate = self_logu(rng, 0.003, 0.03)
    s = Series(rng, max(self_logu(rng, 40, 168), 0.3 / rate))
    s.linear_leak(rate)
    s.leak_res, s.leak = s.leak, np.zeros(s.n)
    return s


def leak_in_ramp(rng):
    """A leak in a service whose load grows meanwhile."""
    rate, ramp_h = self_logu(rng, 0.004, 0.03), self_logu(rng, 1, 12)
    s = Series(rng, max(self_logu(rng, 30, 140), 0.25 / rate, 4 * ramp_h))
    at = s.u(0.1, 0.4) * s.dur
    s.rps = s.make_load(s.u(0, 0.3), ramp=1 + s.u(0.3, 1.5) * np.clip((s.t - at) / (ramp_h * H), 0, 1))
    s.extra += s.load_memory(s.u(0.2, 0.6), s.logu(60, 1800))
    s.linear_leak(rate)
    return s


# ---------------------------------------------------------------- seen while tuning: no leaks
def ok_zipf_cache(rng):
    """A cache under skewed traffic: ever fewer new keys, then full."""
    tau = self_logu(rng, 0.5, 10)
    s = Series(rng, max(self_logu(rng, 8, 140), 4 * tau))
    s.extra += s.base * s.u(0.2, 1.2) * (1 - np.exp(-((s.t / (tau * H)) ** s.u(0.5, 0.9))))
    return s


def ok_ttl_cache(rng):
    """Entries live for hours: memory is the work of the last hours."""
    ttl = self_logu(rng, 0.5, 10)
    s = Series(rng, max(self_logu(rng, 20, 168), 4 * ttl))
    s.rps = s.make_load(s.u(0.2, 0.8))
    k = max(int(ttl * H / s.dt), 1)
    c = np.concatenate([[0.0], np.cumsum(s.load_mem)])
    i = np.arange(1, s.n + 1)
    s.extra += s.base * s.u(0.2, 0.9) * (c[i] - c[np.maximum(i - k, 0)]) / k
    return s


def ok_staircase(rng):
    """Pools, arenas and tenants that are loaded when first needed; later ones are rarer."""
    s = Series(rng, self_logu(rng, 12, 150))
    steps = int(rng.integers(3, 9))
    times = s.dur * 0.7 * rng.beta(0.7, 1.6, steps)
    for at in times:
        s.extra += s.base * s.u(0.02, 0.2) * np.clip((s.t - at) / s.logu(20, 900), 0, 1)
    return s


def ok_deploys(rng):
    """Deployed often; every life fills its caches anew."""
    mean_h = self_logu(rng, 4, 24)
    k = int(rng.integers(3, 8))
    lens = mean_h * H * rng.uniform(0.5, 1.5, k)
    s = Series(rng, min(168.0, lens.sum() / H), restarts=np.cumsum(lens)[:-1])
    fill = s.u(0.1, 0.7) * mean_h * H
    if rng.random() < 0.5:
        s.extra += s.base * s.u(0.2, 1.0) * np.clip(s.age / fill, 0, 1)
    else:
        s.extra += s.base * s.u(0.2, 1.0) * (1 - np.exp(-3 * s.age / fill))
    return s


def ok_heavy_noise(rng):
    """As noisy as leak_heavy_noise, and going nowhere."""
    s = Series(rng, self_logu(rng, 6, 168))
    s.noise_sd, s.noise_tau = s.u(0.04, 0.10), s.logu(60, 2400)
    return s


def ok_load_lag(rng):
    """The load climbs, and memory follows hours later."""
    ramp_h = self_logu(rng, 1, 12)
    s = Series(rng, max(self_logu(rng, 24, 140), ramp_h * 3))
    at = s.u(0.15, 0.5) * s.dur
    s.rps = s.make_load(s.u(0, 0.5), ramp=1 + s.u(0.5, 2.0) * np.clip((s.t - at) / (ramp_h * H), 0, 1))
    s.extra += s.load_memory(s.u(0.2, 0.7), s.logu(1, 5) * H)
    return s


# ---------------------------------------------------------------- seen since: leaks
def leak_daytime(rng):
    """Only a feature of busy hours leaks."""
    rate = self_logu(rng, 0.003, 0.02)
    s = Series(rng, max(self_logu(rng, 60, 168), min(0.3 / rate, 168)))
    s.rps = s.make_load(s.u(0.4, 0.9))
    busy = np.maximum(s.load_mem - float(np.quantile(s.load_mem, 0.4)), 0)
    per = rate * s.base / H * busy / max(float(busy.mean()), 1e-9)
    s.leak_start = 0.0
    s.leak = np.cumsum(per * s.dt)
    mean, end = rate * s.base / H, float(s.t[-1])
    s.leak_fn = lambda t, last=float(s.leak[-1]): np.where(
        np.asarray(t) <= end, np.interp(t, s.t, s.leak), last + mean * (np.asarray(t) - end))
    return s


def leak_intermittent(rng):
    """Leaks for some hours, rests for some, and never gives back."""
    rate, on, off = self_logu(rng, 0.005, 0.04), self_logu(rng, 1, 6), self_logu(rng, 1, 6)
    s = Series(rng, max(self_logu(rng, 24, 150), 8 * (on + off)))
    phase = (s.t / H + s.u(0, on + off)) % (on + off)
    s.leak = np.cumsum(np.where(phase < on, rate * s.base / H * s.dt, 0.0))
    s.leak_start = float(s.t[int(np.argmax(phase < on))])
    mean, end = rate * s.base / H * on / (on + off), float(s.t[-1])
    s.leak_fn = lambda t, last=float(s.leak[-1]): np.where(
        np.asarray(t) <= end, np.interp(t, s.t, s.leak), last + mean * (np.asarray(t) - end))
    return s


def leak_growing_waves(rng):
    """Garbage is collected when it is as large as what lives, and what lives grows."""
    rate, period = self_logu(rng, 0.004, 0.04), self_logu(rng, 0.1, 2)
    s = Series(rng, max(self_logu(rng, 8, 120), 0.25 / rate, 10 * period))
    s.linear_leak(rate)
    s.extra += s.sawtooth(period * H, s.u(0.2, 0.6)) * (1 + s.leak / s.base)
    return s


def leak_exponential(rng):
    """The more is lost, the faster it goes: queues of retries, listeners that add listeners."""
    s = Series(rng, self_logu(rng, 12, 140))
    k, end, T = s.u(2, 4), s.base * s.u(0.4, 1.5), s.dur
    s.leak_start = 0.0
    s.leak_fn = lambda t: end * np.expm1(k * np.maximum(np.asarray(t, float), 0) / T) / math.expm1(k)
    s.leak = s.leak_fn(s.t)
    return s


def leak_bad_deploy(rng):
    """Healthy lives, then a version that leaks from its start."""
    rate = self_logu(rng, 0.005, 0.05)
    good = rng.uniform(4, 20, int(rng.integers(1, 4))) * H
    bad_h = max(self_logu(rng, 15, 80), 0.2 / rate)
    start = float(good.sum())
    s = Series(rng, start / H + bad_h, restarts=list(np.cumsum(good)))
    s.leak_start = start
    s.leak_fn = lambda t: rate * s.base / H * np.maximum(np.asarray(t, float) - start, 0.0)
    s.leak = s.leak_fn(s.t)
    return s


# ---------------------------------------------------------------- seen since: no leaks
def ok_nightly_job(rng):
    """A job of some hours a day takes much and gives it back."""
    s = Series(rng, self_logu(rng, 40, 168))
    width, phase, amp = s.u(1, 7) * H, s.u(0, 24) * H, s.u(0.1, 0.8)
    x = (s.t - phase) % (24 * H)
    s.extra += s.base * amp * np.clip(x / (0.5 * width), 0, 1) * (x < width)
    return s


def ok_slow_sawtooth(rng):
    """A store that compacts every few hours."""
    period = self_logu(rng, 3, 9)
    s = Series(rng, max(self_logu(rng, 20, 160), 5 * period))
    s.extra += s.sawtooth(period * H, s.u(0.1, 0.6))
    return s


def ok_slow_wander(rng):
    """Wanders over many hours and comes back."""
    s = Series(rng, self_logu(rng, 24, 168))
    sd = s.u(0.01, 0.04)
    s.extra += s.base * np.clip(s.ar1(sd, s.logu(4, 24) * H), -3 * sd, 3 * sd)
    return s


def ok_more_users(rng):
    """Users move over within days, with their daily rhythm; memory is in proportion."""
    s = Series(rng, self_logu(rng, 60, 168))
    mid, width = s.u(0.3, 0.7) * s.dur, s.u(0.05, 0.15) * s.dur
    s.rps = s.make_load(s.u(0.2, 0.7), ramp=1 + s.u(0.5, 2.5) / (1 + np.exp(-(s.t - mid) / width)))
    s.extra += s.load_memory(s.u(0.2, 0.8), s.logu(60, 2 * H))
    return s


def ok_vocabulary(rng):
    """Names seen for the first time, by Heaps' law: ever fewer per request."""
    s = Series(rng, self_logu(rng, 24, 168))
    s.extra += s.base * s.u(0.1, 0.6) * (s.t / s.dur) ** s.u(0.25, 0.5)
    return s


def ok_two_tiers(rng):
    """A small cache fills, then a large one."""
    first, second = self_logu(rng, 0.2, 2), self_logu(rng, 2, 11)
    s = Series(rng, max(self_logu(rng, 10, 120), 2.0 * second))
    s.extra += s.base * s.u(0.1, 0.5) * np.clip(s.t / (first * H), 0, 1)
    s.extra += s.base * s.u(0.1, 0.7) * np.clip(s.t / (second * H), 0, 1)
    return s


def ok_double_buffer(rng):
    """An index is rebuilt beside the old one, then the old one goes."""
    s = Series(rng, self_logu(rng, 20, 168))
    period, build, amp = s.u(4, 16) * H, s.u(0.1, 0.6), s.u(0.15, 0.6)
    x = ((s.t + s.u(0, 1) * period) % period) / period
    s.extra += s.base * amp * np.where(x < build, x / build, 0.0)
    return s


# ---------------------------------------------------------------- seen later: leaks
def mean_after_end(s):
    """Extends a leak beyond the series at its mean pace."""
    end, last = float(s.t[-1]), float(s.leak[-1])
    mean = last / max(end - s.leak_start, 1.0)
    s.leak_fn = lambda t: np.where(
        np.asarray(t) <= end, np.interp(t, s.t, s.leak), last + mean * (np.asarray(t) - end))
    return s


def leak_sessions(rng):
    """Sessions expire after hours, but for the share that nobody ever closes."""
    ttl, rate = self_logu(rng, 0.5, 6), self_logu(rng, 0.003, 0.03)
    s = Series(rng, max(self_logu(rng, 24, 168), 0.25 / rate, 4 * ttl))
    s.rps = s.make_load(s.u(0.2, 0.8))
    s.extra += s.base * s.u(0.1, 0.5) * s.smooth(s.load_mem, ttl * H)
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    return mean_after_end(s)


def leak_interner(rng):
    """Names are interned: most are few and soon known, some carry an identifier and never come again."""
    rate = self_logu(rng, 0.003, 0.04)
    s = Series(rng, max(self_logu(rng, 12, 120), 0.25 / rate))
    s.extra += s.base * s.u(0.05, 0.3) * (1 - np.exp(-((s.t / (self_logu(rng, 0.5, 5) * H)) ** 0.6)))
    s.linear_leak(rate)
    return s


def leak_reconnects(rng):
    """Each reconnect storm leaves buffers behind, and there are more when much goes on."""
    rate, gap = self_logu(rng, 0.003, 0.03), self_logu(rng, 0.3, 4)
    s = Series(rng, max(self_logu(rng, 20, 150), 0.25 / rate, 15 * gap))
    s.rps = s.make_load(s.u(0.0, 0.6))
    times = np.cumsum(rng.exponential(gap * H, int(2 * s.dur / (gap * H)) + 20))
    times = times[times < s.dur]
    sizes = rng.uniform(0.5, 1.5, len(times)) * s.load_clean[np.searchsorted(s.t, times) - 1]
    cum = np.concatenate([[0.0], np.cumsum(sizes * rate * s.base * s.dur / H / sizes.sum())])
    s.leak = cum[np.searchsorted(times, s.t, side="right")]
    s.extra += s.batch_spikes(times, s.u(0.02, 0.2), 300)
    s.leak_start = float(times[0])
    return mean_after_end(s)


def leak_config_reload(rng):
    """Every reload of the configuration keeps the old tree alive."""
    period, step = self_logu(rng, 0.5, 6), self_logu(rng, 0.01, 0.05)
    s = Series(rng, min(168.0, period * rng.uniform(12, 40)))
    times = s.batch_times(period * H, 0.02)
    s.extra += s.batch_spikes(times, s.u(0.02, 0.3), s.logu(60, 300))
    s.leak = step * s.base * np.searchsorted(times, s.t, side="right").astype(float)
    s.leak_start = float(times[0])
    return mean_after_end(s)


def leak_under_merges(rng):
    """An index whose segments are merged in tiers, and readers that are never closed."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 20, 140), 0.25 / rate))
    s.extra += merges(s)
    s.linear_leak(rate)
    return s


def leak_after_upgrade(rng):
    """A rolling configuration change switches a feature on: a step, and a leak from then on."""
    rate, calm = self_logu(rng, 0.004, 0.04), self_logu(rng, 10, 70)
    grow = max(self_logu(rng, 8, 60), 0.15 / rate)
    s = Series(rng, calm + grow)
    s.linear_leak(rate, start=min(calm * H, 0.7 * s.dur))
    s.extra += np.where(s.t > s.leak_start, s.base * s.u(0.0, 0.15), 0.0)
    return s


# ---------------------------------------------------------------- seen later: no leaks
def merges(s):
    """Segments of a log-structured index: flushed evenly, merged in tiers of a few, buffers held in proportion."""
    ratio, flush = int(s.rng.integers(4, 11)), s.logu(120, 1200)
    count = ((s.t + s.u(0, 50) * flush) / flush).astype(int)
    held, size = np.zeros(s.n), 1.0
    while count.max() > 0 and size < 1e4:
        held += (count % ratio) * size ** 0.6
        count, size = count // ratio, size * ratio
    return s.base * s.u(0.05, 0.4) * held / max(held.max(), 1.0)


def ok_merges(rng):
    """The same without a leak."""
    s = Series(rng, self_logu(rng, 12, 150))
    s.extra += merges(s)
    return s


def ok_generations(rng):
    """A collector with two generations: small collections leave some garbage, a large one takes it."""
    minor = self_logu(rng, 0.05, 0.5)
    per_major = int(rng.integers(5, 20))
    s = Series(rng, max(self_logu(rng, 10, 120), 4 * minor * per_major))
    s.extra += s.sawtooth(minor * H, s.u(0.05, 0.3)) + s.sawtooth(minor * per_major * H, s.u(0.05, 0.4))
    return s


def ok_pool_growth(rng):
    """A pool that grows to the largest number of connections ever needed at once and never shrinks."""
    s = Series(rng, self_logu(rng, 20, 168))
    s.rps = s.make_load(s.u(0.2, 0.8))
    s.extra += s.base * s.u(0.1, 0.5) * np.maximum.accumulate(s.smooth(s.load_mem, 600))
    return s


def ok_known_names(rng):
    """A closed set of names with Zipf's frequencies is interned as they come."""
    s = Series(rng, self_logu(rng, 12, 150))
    share = 1.0 / np.arange(1, 2001) ** s.u(0.8, 1.2)
    share /= share.sum()
    asked = s.logu(2e3, 2e5) * s.t / s.dur
    seen = np.interp(s.t, grid := np.linspace(0, s.dur, 200),
                     [float((-np.expm1(-share * np.interp(x, s.t, asked))).sum()) for x in grid])
    s.extra += s.base * s.u(0.1, 0.6) * seen / 2000
    return s


def ok_sweeps(rng):
    """Entries expire, and a sweep every few hours frees them all at once."""
    every = self_logu(rng, 0.5, 5)
    s = Series(rng, max(self_logu(rng, 16, 150), 5 * every))
    s.rps = s.make_load(s.u(0.1, 0.7))
    start = np.floor(s.t / (every * H)) * every * H
    done = np.cumsum(s.load_mem * s.dt)
    since = done - np.interp(start, s.t, done)
    s.extra += s.base * s.u(0.1, 0.6) * since / max(since.max(), 1.0)
    return s


def ok_config_reload(rng):
    """Old and new configuration live side by side for a while; their sizes differ a little."""
    period = self_logu(rng, 2, 14)
    s = Series(rng, max(self_logu(rng, 20, 160), 5 * period))
    times = s.batch_times(period * H)
    s.extra += s.batch_spikes(times, s.u(0.05, 0.5), s.logu(60, 1800))
    sizes = np.concatenate([[0.0], rng.normal(0, 0.01, len(times))])
    s.extra += s.base * sizes[np.searchsorted(times, s.t, side="right")]
    return s


def ok_daily_rebuild(rng):
    """A search index is built anew once a day beside the old one."""
    s = Series(rng, self_logu(rng, 30, 168))
    width, phase, amp = s.u(0.5, 4) * H, s.u(0, 24) * H, s.u(0.1, 0.7)
    since = (s.t - phase) % (24 * H)
    s.extra += s.base * amp * np.where(since < width, since / width, 0.0)
    return s


def ok_fragmentation_drift(rng):
    """Fragmentation comes and goes over hours; what is allocated stays."""
    s = Series(rng, self_logu(rng, 20, 168))
    s.frag_extra += np.maximum(s.u(0.05, 0.2) + s.ar1(s.u(0.02, 0.08), s.logu(2, 12) * H), 0.0)
    return s


def ok_new_tenants(rng):
    """Tenants move in during the first days, each with its load and its memory."""
    s = Series(rng, self_logu(rng, 40, 168))
    count = int(rng.integers(4, 12))
    times = np.sort(s.u(0.3, 0.7) * s.dur * rng.random(count))
    moved = np.searchsorted(times, s.t, side="right") / count
    s.rps = s.make_load(s.u(0, 0.5), ramp=1 + s.u(0.5, 2.0) * moved)
    s.extra += s.load_memory(s.u(0.2, 0.7), s.logu(60, 3600))
    return s


def ok_code_cache(rng):
    """Warm-up in two stages: minutes, then hours."""
    slow = self_logu(rng, 1, 8)
    s = Series(rng, max(self_logu(rng, 8, 120), 3 * slow))
    s.extra += s.base * s.u(0.05, 0.3) * (1 - np.exp(-s.age / s.logu(120, 1200)))
    s.extra += s.base * s.u(0.05, 0.4) * (1 - np.exp(-s.age / (slow * H)))
    return s


# ---------------------------------------------------------------- seen last: leaks
def leak_incidents(rng):
    """An error path keeps the request: few errors most of the time, many during incidents."""
    rate, gap = self_logu(rng, 0.004, 0.03), self_logu(rng, 1.5, 8)
    s = Series(rng, max(self_logu(rng, 24, 150), 0.25 / rate, 10 * gap))
    errors = s.u(0.2, 0.6) * s.load_mem
    at = rng.exponential(gap) * H
    while at < s.dur:
        lasts = s.logu(0.1, 1.5) * H
        errors = errors + s.u(1, 6) * ((s.t > at) & (s.t < at + lasts))
        at += lasts + rng.exponential(gap) * H
    s.leak_start = 0.0
    s.leak = np.cumsum(errors / errors.mean() * rate * s.base / H * s.dt)
    return mean_after_end(s)


def table_bytes(entries, first):
    """What the table of a hash map takes, which doubles when it is full, in units of its entries."""
    return first * 2.0 ** np.maximum(np.ceil(np.log2(np.maximum(entries, 1e-9) / first)), 0.0)


def leak_map(rng):
    """A map nobody removes from: its values grow with the work, its table doubles."""
    rate = self_logu(rng, 0.004, 0.04)
    s = Series(rng, max(self_logu(rng, 12, 120), 0.3 / rate))
    s.rps = s.make_load(s.u(0.0, 0.6))
    values = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    share, first = s.u(0.1, 0.4), s.u(0.02, 0.1) * s.base
    s.leak_start = 0.0
    s.leak = (1 - share) * values + share * table_bytes(values, first)
    s.leak -= s.leak[0]
    return mean_after_end(s)


def leak_more_and_more_users(rng):
    """Something is lost with each request, and there are ever more of them."""
    rate = self_logu(rng, 0.003, 0.02)
    s = Series(rng, max(self_logu(rng, 48, 160), 0.25 / rate))
    s.rps = s.make_load(s.u(0.1, 0.7), ramp=np.exp(s.u(0.3, 1.2) * s.t / s.dur))
    s.extra += s.load_memory(s.u(0.05, 0.3), s.logu(60, 3600))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    end, last = float(s.t[-1]), float(s.leak[-1])
    pace = (last - float(np.interp(end - 24 * H, s.t, s.leak))) / (24 * H)
    s.leak_fn = lambda t: np.where(np.asarray(t) <= end, np.interp(t, s.t, s.leak), last + pace * (np.asarray(t) - end))
    return s


# ---------------------------------------------------------------- seen last: no leaks
def ok_map(rng):
    """A map of a bounded population: ever fewer are new, and its table doubles now and then."""
    tau = self_logu(rng, 0.5, 6)
    s = Series(rng, max(self_logu(rng, 12, 140), 4 * tau))
    values = s.base * s.u(0.1, 0.6) * (1 - np.exp(-s.t / (tau * H)))
    share, first = s.u(0.1, 0.5), s.u(0.02, 0.1) * s.base
    s.extra += (1 - share) * values + share * table_bytes(values, first)
    return s


def ok_rollout(rng):
    """A feature is switched on for 1, 5, 20, 50, then all percent of the users; its cache is in proportion."""
    s = Series(rng, self_logu(rng, 24, 150))
    stages, begin, width = (0.01, 0.05, 0.2, 0.5, 1.0), s.u(0.05, 0.4) * s.dur, s.logu(1, 8) * H
    amp, fill, on = s.base * s.u(0.1, 0.6), s.logu(300, 5400), np.zeros(s.n)
    for stage, share in enumerate(stages):
        on[s.t > begin + stage * width] = share
    s.extra += amp * s.smooth(on, fill)
    return s


def ok_failover(rng):
    """Another region's users come for hours and leave; buffers stay as large as they had to be."""
    s = Series(rng, self_logu(rng, 30, 160))
    at, lasts = s.u(0.15, 0.6) * s.dur, s.logu(2, 20) * H
    here = 0.5 * (np.tanh((s.t - at) / 600) - np.tanh((s.t - at - lasts) / 600))
    s.rps = s.make_load(s.u(0.1, 0.6), ramp=1 + s.u(0.5, 1.5) * here)
    s.extra += s.load_memory(s.u(0.1, 0.5), s.logu(60, 3600))
    s.extra += s.base * s.u(0.02, 0.2) * np.maximum.accumulate(s.smooth(s.load_clean, 1800))
    return s


def ok_first_morning(rng):
    """Started at night; its cache fills by what is asked for the first time, which is little before the morning."""
    s = Series(rng, self_logu(rng, 30, 168))
    s.rps = s.make_load(s.u(0.5, 0.95))
    done = np.cumsum(s.load_mem * s.dt)
    s.extra += s.base * s.u(0.1, 0.8) * (1 - np.exp(-done / (s.logu(1, 7) * H)))
    return s


def ok_compaction_by_load(rng):
    """What is written piles up until it is worth compacting: the teeth are as long as the load is low."""
    s = Series(rng, self_logu(rng, 24, 168))
    s.rps = s.make_load(s.u(0.1, 0.7))
    done = np.cumsum(s.load_mem * s.dt) / (s.logu(0.5, 6) * H)
    s.extra += s.base * s.u(0.05, 0.4) * ((done + s.u(0, 1)) % 1.0)
    return s


# ---------------------------------------------------------------- seen beside: leaks
def stages(s, shares, begin, width):
    """A share of the users that is raised now and then."""
    on = np.zeros(s.n)
    for stage, share in enumerate(shares):
        on[s.t > begin + stage * width] = share
    return on


def leak_rollout(rng):
    """A feature that leaks is switched on for ever more users."""
    rate = self_logu(rng, 0.006, 0.04)
    s = Series(rng, max(self_logu(rng, 30, 150), 0.4 / rate))
    on = stages(s, (0.05, 0.2, 0.5, 1.0), s.u(0.05, 0.3) * s.dur, s.logu(1, 8) * H)
    s.leak_start = float(s.t[int(np.argmax(on > 0))])
    s.leak = np.cumsum(rate * s.base / H * on * s.load_mem * s.dt)
    return mean_after_end(s)


def leak_after_failover(rng):
    """Another region's users come, and what they do leaks a little with each request, as it did before."""
    rate = self_logu(rng, 0.003, 0.02)
    s = Series(rng, max(self_logu(rng, 40, 160), 0.25 / rate))
    at, lasts = s.u(0.15, 0.6) * s.dur, s.logu(4, 24) * H
    here = 0.5 * (np.tanh((s.t - at) / 600) - np.tanh((s.t - at - lasts) / 600))
    s.rps = s.make_load(s.u(0.0, 0.5), ramp=1 + s.u(0.5, 1.5) * here)
    s.extra += s.load_memory(s.u(0.1, 0.4), s.logu(60, 3600))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    return mean_after_end(s)


def leak_fewer_users(rng):
    """Lost with each request, while the requests become fewer by the day."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 24, 120), 0.3 / rate))
    s.rps = s.make_load(s.u(0.0, 0.6), ramp=np.exp(-s.u(0.2, 0.7) * s.t / s.dur))
    s.extra += s.load_memory(s.u(0.05, 0.3), s.logu(60, 3600))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    return mean_after_end(s)


def leak_beside_vocabulary(rng):
    """Names are learnt ever more slowly; something else leaks evenly."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 24, 150), 0.4 / rate))
    s.extra += s.base * s.u(0.05, 0.3) * (s.t / s.dur) ** s.u(0.3, 0.6)
    s.linear_leak(rate)
    return s


# ---------------------------------------------------------------- seen beside: no leaks
def ok_gradual_rollout(rng):
    """A feature is switched on for a share of the users that grows evenly for hours; its memory is in proportion."""
    s = Series(rng, self_logu(rng, 20, 150))
    begin, lasts = s.u(0.1, 0.5) * s.dur, s.logu(0.5, 6) * H
    s.extra += s.base * s.u(0.1, 0.6) * s.smooth(np.clip((s.t - begin) / lasts, 0, 1), s.logu(300, 5400))
    return s


def ok_rollout_by_load(rng):
    """The same in stages, with caches that fill by what the users ask for."""
    s = Series(rng, self_logu(rng, 30, 150))
    s.rps = s.make_load(s.u(0.1, 0.7))
    on = stages(s, (0.02, 0.1, 0.25, 0.6, 1.0)[int(rng.integers(0, 3)):], s.u(0.05, 0.4) * s.dur, s.logu(1, 6) * H)
    s.extra += s.base * s.u(0.1, 0.5) * s.smooth(on * s.load_mem, s.logu(600, 3600))
    s.extra += s.base * s.u(0.0, 0.2) * (1 - np.exp(-np.cumsum(on * s.load_mem * s.dt) / (s.logu(0.5, 3) * H)))
    return s


def ok_region_moves(rng):
    """Users of another region come for days; pools grow with them and stay as large when they leave."""
    s = Series(rng, self_logu(rng, 50, 168))
    at, lasts, width = s.u(0.15, 0.4) * s.dur, s.u(0.2, 0.5) * s.dur, s.logu(600, 2 * H)
    here = 0.5 * (np.tanh((s.t - at) / width) - np.tanh((s.t - at - lasts) / width))
    s.rps = s.make_load(s.u(0.1, 0.6), ramp=1 + s.u(0.3, 1.5) * here)
    s.extra += s.load_memory(s.u(0.0, 0.4), s.logu(60, 3600))
    s.extra += s.base * s.u(0.05, 0.3) * np.maximum.accumulate(s.smooth(s.load_mem, s.logu(600, 3600)))
    return s


def ok_slow_fill_by_work(rng):
    """A cache of many small entries under a daily load: ever fewer are new, for a day and more."""
    s = Series(rng, self_logu(rng, 48, 168))
    s.rps = s.make_load(s.u(0.2, 0.9))
    done = np.cumsum(s.load_mem * s.dt) / (s.logu(2, 9) * H)
    s.extra += s.base * s.u(0.1, 0.8) * (1 - np.exp(-done ** s.u(0.6, 1.0)))
    return s


def ok_high_water(rng):
    """Arenas as large as the busiest minutes so far had to have them."""
    s = Series(rng, self_logu(rng, 20, 168))
    s.rps = s.make_load(s.u(0.0, 0.5))
    s.extra += s.base * s.u(0.1, 0.6) * np.maximum.accumulate(s.smooth(s.load_mem, s.logu(60, 600))) / 2
    return s


# ---------------------------------------------------------------- held out: leaks
def leak_ratchet(rng):
    """Each wave of work takes memory and gives nearly all of it back; what it keeps, it keeps for good."""
    period = self_logu(rng, 1, 12)
    s = Series(rng, min(168.0, period * rng.uniform(10, 30)))
    phase = (s.t / H / period + s.u(0, 1)) % 1.0
    width, amp, kept = s.u(0.2, 0.6), s.u(0.1, 0.5), s.u(0.01, 0.06)
    busy = phase < width
    wave = np.where(busy, np.sin(np.pi * phase / width) ** 2, 0.0)
    s.extra += s.base * amp * wave
    begun = np.where(busy & (phase < width / 2), wave, 0.0)
    s.leak = s.base * kept * np.concatenate([[0.0], np.cumsum(np.maximum(np.diff(begun), 0.0))])
    s.leak_start = float(s.t[int(np.argmax(s.leak > 0))])
    return mean_after_end(s)


def leak_dead_letters(rng):
    """From a moment on a consumer fails; its messages wait for a retry that never succeeds."""
    rate, calm = self_logu(rng, 0.004, 0.04), self_logu(rng, 12, 80)
    s = Series(rng, calm + max(self_logu(rng, 12, 70), 0.25 / rate))
    s.rps = s.make_load(s.u(0.2, 0.8))
    s.extra += s.load_memory(s.u(0.0, 0.3), s.logu(60, 3600))
    s.leak_start = min(calm * H, 0.7 * s.dur)
    s.leak = np.cumsum(np.where(s.t > s.leak_start, rate * s.base / H * s.load_mem * s.dt, 0.0))
    return mean_after_end(s)


def autoscaled(s):
    """The load of one process of several: it climbs until another one is started, and jumps when one is stopped."""
    total = 1 + s.u(0.3, 0.8) * np.sin(2 * np.pi * (s.t - s.u(0, 24) * H) / (24 * H)) + 0.05 * np.cumsum(
        s.rng.normal(0, 1, s.n)) * math.sqrt(s.dt / (24 * H))
    total, count, counts = np.maximum(total, 0.1) * s.u(3, 8), 0, np.zeros(s.n)
    for at, wanted in enumerate(total.tolist()):
        if wanted > count or wanted < 0.6 * count:
            count = math.ceil(wanted * 1.1)
        counts[at] = count
    return total / counts


def leak_autoscaled(rng):
    """Lost with each request of a process that is one of several."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 24, 150), 0.3 / rate))
    s.rps = s.make_load(0.0, ramp=autoscaled(s))
    s.extra += s.load_memory(s.u(0.1, 0.5), s.logu(60, 1800))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    return mean_after_end(s)


def leak_two_speeds(rng):
    """Two places lose memory: one from the start, one from some moment on."""
    slow, fast = self_logu(rng, 0.002, 0.01), self_logu(rng, 0.004, 0.04)
    s = Series(rng, max(self_logu(rng, 24, 150), 0.3 / (slow + fast)))
    second = s.u(0.3, 0.7) * s.dur
    s.leak_start = 0.0
    s.leak_fn = lambda t: s.base / H * (
        slow * np.maximum(np.asarray(t, float), 0.0) + fast * np.maximum(np.asarray(t, float) - second, 0.0))
    s.leak = s.leak_fn(s.t)
    return s


def leak_stuck_tasks(rng):
    """Tasks wait for ever for a peer; how many get stuck depends on how the peer is doing, which changes over hours."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 24, 150), 0.3 / rate))
    pace = np.exp(s.ar1(s.u(0.3, 1.0), s.logu(0.5, 6) * H))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * pace / pace.mean() * s.dt)
    return mean_after_end(s)


def leak_labels(rng):
    """A label whose values never end; each collection takes a buffer in proportion to all of them."""
    rate, every = self_logu(rng, 0.004, 0.04), self_logu(rng, 60, 900)
    s = Series(rng, max(self_logu(rng, 12, 120), 0.3 / rate))
    s.rps = s.make_load(s.u(0.0, 0.6))
    s.leak_start = 0.0
    s.leak = np.cumsum(rate * s.base / H * s.load_mem * s.dt)
    s.extra += s.u(0.2, 1.0) * s.leak * ((s.t % every) < 0.15 * every)
    return mean_after_end(s)


# ---------------------------------------------------------------- held out: no leaks
def ok_autoscaled(rng):
    """One process of several; memory follows its load."""
    s = Series(rng, self_logu(rng, 24, 168))
    s.rps = s.make_load(0.0, ramp=autoscaled(s))
    s.extra += s.load_memory(s.u(0.2, 0.8), s.logu(60, 3600))
    return s


def ok_largest_request(rng):
    """Buffers as large as the largest request so far, whose sizes have a heavy tail."""
    s = Series(rng, self_logu(rng, 12, 168))
    sizes = rng.pareto(s.u(1.5, 4.0), s.n) + 1.0
    largest = np.maximum.accumulate(sizes)
    s.extra += s.base * s.u(0.05, 0.6) * largest / largest[-1]
    return s


def ok_backlog(rng):
    """A replication backlog fills to its size, and is dropped whenever the replica has caught up."""
    s = Series(rng, self_logu(rng, 20, 160))
    s.rps = s.make_load(s.u(0.1, 0.7))
    fill, held, cap = s.logu(0.5, 6) * H, np.zeros(s.n), 1.0
    resets, level = set(np.searchsorted(s.t, np.cumsum(rng.exponential(s.logu(4, 30) * H, 100))).tolist()), 0.0
    for at, work in enumerate((s.load_mem * s.dt / fill).tolist()):
        level = 0.0 if at in resets else min(level + work, cap)
        held[at] = level
    s.extra += s.base * s.u(0.05, 0.5) * held
    return s


def ok_mix_of_day(rng):
    """What is asked for changes with the hour, and with it how large the cached entries are; the load does not say so."""
    s = Series(rng, self_logu(rng, 30, 168))
    x = 2 * np.pi * (s.t / (24 * H) - s.u(0, 1))
    s.extra += s.base * s.u(0.03, 0.3) * (1 + np.sin(x) + s.u(0, 0.4) * np.sin(2 * x + s.u(0, 6.28)))
    return s


def ok_import(rng):
    """Data is imported once, for hours, and stays."""
    s = Series(rng, self_logu(rng, 20, 150))
    begin, lasts = s.u(0.1, 0.6) * s.dur, s.logu(0.5, 6) * H
    s.extra += s.base * s.u(0.1, 0.8) * np.clip((s.t - begin) / lasts, 0, 1)
    s.extra += s.base * s.u(0.0, 0.3) * ((s.t > begin) & (s.t < begin + lasts))
    return s


def ok_retry_storms(rng):
    """Now and then a peer is away: what waits for it piles up, and is worked off slowly afterwards."""
    s = Series(rng, self_logu(rng, 20, 160))
    push, at = np.zeros(s.n), rng.exponential(12) * H
    while at < s.dur:
        away = s.logu(0.2, 2) * H
        push += s.u(0.3, 1.0) * ((s.t > at) & (s.t < at + away))
        at += away + rng.exponential(s.logu(6, 30)) * H
    drain = s.logu(0.5, 5) * H
    held = s.smooth(push, drain)
    s.extra += s.base * s.u(0.1, 0.8) * held / max(held.max(), 1e-9)
    return s


def ok_today(rng):
    """The visitors of the day are remembered until midnight: ever fewer of them are new."""
    s = Series(rng, self_logu(rng, 30, 168))
    s.rps = s.make_load(s.u(0.1, 0.8))
    done, midnight = np.cumsum(s.load_mem * s.dt), s.u(0, 24) * H
    since = done - np.interp(np.floor((s.t - midnight) / (24 * H)) * 24 * H + midnight, s.t, done)
    s.extra += s.base * s.u(0.05, 0.4) * (1 - np.exp(-since / (s.logu(4, 20) * H)))
    return s


def ok_leader(rng):
    """Elected leader for a while: it loads the leader's state for an hour or so, and drops it when another takes over."""
    s = Series(rng, self_logu(rng, 20, 160))
    at, state = rng.exponential(10) * H, np.zeros(s.n)
    load = s.logu(0.1, 3) * H
    while at < s.dur:
        lasts = s.logu(3, 40) * H
        state += np.where((s.t > at) & (s.t < at + lasts), 1 - np.exp(-np.maximum(s.t - at, 0) / load), 0.0)
        at += lasts + rng.exponential(10) * H
    s.extra += s.base * s.u(0.05, 0.6) * state
    return s


# ---------------------------------------------------------------- registered caches: undecidable without their bytes
def cached_ok_fill(rng):
    """A registered cache that takes days to fill, some overhead included."""
    s = Series(rng, self_logu(rng, 30, 160))
    fill = s.u(0.5, 2.0) * s.dur
    s.cached = s.base * s.u(0.2, 1.5) * np.clip(s.t / fill, 0, 1)
    s.extra += s.cached * s.u(1.0, 1.15)
    return s


def cached_leak_fill(rng):
    """The same with a leak beside it."""
    rate = self_logu(rng, 0.004, 0.03)
    s = Series(rng, max(self_logu(rng, 30, 120), 0.3 / rate))
    s.cached = s.base * s.u(0.1, 0.8) * np.clip(s.t / (s.u(0.3, 1.5) * s.dur), 0, 1)
    s.extra += s.cached * s.u(1.0, 1.1)
    s.linear_leak(rate)
    return s


SETS = {
    "seen": ([leak_bursty, leak_beside_fill, leak_native, leak_in_ramp],
             [ok_zipf_cache, ok_ttl_cache, ok_staircase, ok_deploys, ok_heavy_noise, ok_load_lag]),
    "seen_since": ([leak_daytime, leak_intermittent, leak_growing_waves, leak_exponential, leak_bad_deploy],
                   [ok_nightly_job, ok_slow_sawtooth, ok_slow_wander, ok_more_users, ok_vocabulary, ok_two_tiers,
                    ok_double_buffer]),
    "seen_later": ([leak_sessions, leak_interner, leak_reconnects, leak_config_reload, leak_under_merges,
                    leak_after_upgrade],
                   [ok_merges, ok_generations, ok_pool_growth, ok_known_names, ok_sweeps, ok_config_reload,
                    ok_daily_rebuild, ok_fragmentation_drift, ok_new_tenants, ok_code_cache]),
    "seen_last": ([leak_incidents, leak_map, leak_more_and_more_users],
                  [ok_map, ok_rollout, ok_failover, ok_first_morning, ok_compaction_by_load]),
    "seen_beside": ([leak_rollout, leak_after_failover, leak_fewer_users, leak_beside_vocabulary],
                    [ok_gradual_rollout, ok_rollout_by_load, ok_region_moves, ok_slow_fill_by_work, ok_high_water]),
    "held_out": ([leak_ratchet, leak_dead_letters, leak_autoscaled, leak_two_speeds, leak_stuck_tasks, leak_labels],
                 [ok_autoscaled, ok_largest_request, ok_backlog, ok_mix_of_day, ok_import, ok_retry_storms, ok_today,
                  ok_leader]),
    "cached": ([cached_leak_fill], [cached_ok_fill]),
}


def generate(which, seed, n, leak_share=0.45):
    leaks, oks = SETS[which]
    count = [0, 0]
    for i in range(n):
        is_leak = math.floor((i + 1) * leak_share) > math.floor(i * leak_share)
        pool = leaks if is_leak else oks
        family = pool[count[is_leak] % len(pool)]
        count[is_leak] += 1
        yield one(family, which, seed, i)


def one(family, which, seed, i):
    for attempt in range(50):
        rng = np.random.default_rng([seed, i, zlib.crc32(family.__name__.encode()), attempt])
        try:
            s = family(rng)
            rec = finish(s, family.__name__, "%08x" % zlib.crc32(f"{which}/{seed}/{i}/{attempt}".encode()))
        except ValueError:
            continue
        if hasattr(s, "cached"):
            at = np.searchsorted(np.round(s.t, 1), np.array(rec["t"]) - 0.05)
            rec["cached_bytes"] = [int(x) for x in s.cached[np.minimum(at, s.n - 1)]]
        return rec
    raise ValueError(f"{family.__name__}: no series of seed {seed}, number {i}, lasts long enough")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--set", choices=SETS, required=True)
    ap.add_argument("--seed", type=int, required=True)
    ap.add_argument("--n", type=int, default=200)
    ap.add_argument("--out", required=True)
    ap.add_argument("--blind", help="also write the series without any truth")
    a = ap.parse_args()
    blind = open(a.blind, "w") if a.blind else None
    with open(a.out, "w") as f:
        for rec in generate(a.set, a.seed, a.n):
            f.write(json.dumps(rec, separators=(",", ":")) + "\n")
            if blind:
                kept = [k for k in (*BLIND, "cached_bytes") if k in rec]
                blind.write(json.dumps({k: rec[k] for k in kept}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
