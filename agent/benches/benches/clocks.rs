//! What reading a clock costs, alone and as a pair around nothing, and how far its durations are from the system's: the
//! clock that the agent has beside the others that read the cycle counter. `--smoke` reads each a few times.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use heartline_bench::record;
use heartline_bench::subject::Loop;
use heartline_bench::timing::{Rounds, typical};

/// How long a clock is compared with the system's.
const STRETCH: Duration = Duration::from_millis(200);

struct Clock {
    name: &'static str,
    read: Loop,
    pair: Loop,
    /// How much longer its duration of a stretch is than the system's, in millionths.
    drift: Box<dyn FnMut() -> f64>,
}

/// Spins, so that no other clock is asked; how long it was by this clock and by the system's.
fn drift<T: Copy>(now: impl Fn() -> T, between: impl Fn(T, T) -> Duration) -> f64 {
    let (start, system) = (now(), Instant::now());
    while system.elapsed() < STRETCH {
        std::hint::spin_loop();
    }
    let (end, system) = (now(), system.elapsed());
    (between(start, end).as_secs_f64() / system.as_secs_f64() - 1.0) * 1e6
}

macro_rules! clock {
    ($name:literal, $now:expr, $between:expr) => {
        Clock {
            name: $name,
            read: record!(_at => $now()),
            pair: record!(_at => {
                let start = $now();
                $between(start, $now())
            }),
            drift: Box::new(|| drift($now, $between)),
        }
    };
}

fn all() -> Vec<Clock> {
    let (raw, quanta) = (quanta::Clock::new(), quanta::Clock::new());
    let raw: &'static quanta::Clock = Box::leak(Box::new(raw));
    let quanta: &'static quanta::Clock = Box::leak(Box::new(quanta));
    vec![
        clock!("quanta, raw (ours)", || raw.raw(), |start, end| raw.delta(start, end)),
        clock!("quanta", || quanta.now(), |start: quanta::Instant, end: quanta::Instant| end.duration_since(start)),
        clock!("fastant", fastant::Instant::now, |start: fastant::Instant, end: fastant::Instant| end - start),
        clock!("minstant", minstant::Instant::now, |start: minstant::Instant, end: minstant::Instant| end - start),
        clock!("std", Instant::now, |start: Instant, end: Instant| end - start),
    ]
}

/// Nanoseconds of one run of the body.
fn nanos(run: &mut Loop, times: usize) -> f64 {
    let start = Instant::now();
    run(black_box(times));
    start.elapsed().as_nanos() as f64 / times as f64
}

fn main() {
    let is_smoke = std::env::args().any(|argument| argument == "--smoke");
    let (rounds, times, stretches) = if is_smoke { (1, 1_000, 1) } else { (41, 200_000, 3) };
    let mut clocks = all();
    let mut figures: Vec<(Rounds, Rounds)> = clocks.iter().map(|_| (Rounds::new(), Rounds::new())).collect();
    for _ in 0..rounds {
        for (clock, (read, pair)) in clocks.iter_mut().zip(&mut figures) {
            read.push(nanos(&mut clock.read, times));
            pair.push(nanos(&mut clock.pair, times));
        }
    }
    let first = figures.first().map_or(f64::NAN, |(_, pair)| typical(pair));
    println!("{:<20}{:>10}{:>10}{:>12}{:>12}", "clock", "ns", "ns a pair", "by ours", "drift ppm");
    for (clock, (read, pair)) in clocks.iter_mut().zip(&figures) {
        let drifts: Rounds = (0..stretches).map(|_| (clock.drift)().abs()).collect();
        let (read, pair) = (typical(read), typical(pair));
        println!("{:<20}{read:>10.2}{pair:>10.2}{:>11.2}x{:>12.1}", clock.name, pair / first, typical(&drifts));
    }
}
