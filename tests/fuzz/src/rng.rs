//! Numbers that look random and repeat: splitmix64, seeded anew for each call, so that a call does not depend on those before it.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

/// A seed made of a seed and a number.
pub fn mix(seed: u64, number: u64) -> u64 {
    let mut rng = Rng(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23));
    rng.next();
    rng.next()
}

impl Rng {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next() % bound }
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, mix};

    #[test]
    fn a_seed_repeats_and_its_neighbour_differs() {
        assert_eq!(Rng::new(mix(1, 2)).next(), Rng::new(mix(1, 2)).next());
        assert_ne!(Rng::new(mix(1, 2)).next(), Rng::new(mix(1, 3)).next());
        assert_ne!(Rng::new(mix(1, 2)).next(), Rng::new(mix(2, 2)).next());
    }
}
