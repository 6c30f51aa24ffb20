//! Random numbers that are the same in every run; what they stand for is not known here.

/// A xorshift generator: fast, and random enough for values and labels.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// One more number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `end`, which is not 0.
    #[inline]
    pub fn below(&mut self, end: u64) -> u64 {
        (self.draw() >> 16) % end
    }

    /// An index below `end`, which is not 0.
    #[inline]
    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    /// From 0, inclusive, to 1, exclusive.
    pub fn uniform(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Normally distributed around 0 with a deviation of 1.
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// A latency in nanoseconds: log-normal around `median`, with nine in ten of them in two decades.
    pub fn latency(&mut self, median: f64) -> u64 {
        // 1.645 deviations to each side are one decade
        let decades = self.normal() / 1.645;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, far below 2^53")]
        let nanos = (median * 10_f64.powf(decades)) as u64;
        nanos.max(1)
    }
}
