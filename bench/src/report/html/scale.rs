//! Where a value stands on an axis, as a share of its length, and which values get a mark.

/// An axis.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Scale {
    Linear {
        from: f64,
        to: f64,
    },
    /// Both ends above zero.
    Log {
        from: f64,
        to: f64,
    },
}

impl Scale {
    /// From zero to a round number above all values.
    pub(super) fn from_zero(values: impl Iterator<Item = f64>) -> Self {
        let max = values.fold(0.0, f64::max);
        let step = round_step(max / MARKS);
        let to = (max / step).ceil() * step;
        Self::Linear {
            from: 0.0,
            to: if max > 0.0 { to } else { 1.0 },
        }
    }

    /// Whole powers of ten around all values above zero; one at least.
    pub(super) fn decades(values: impl Iterator<Item = f64>) -> Self {
        let values = values.filter(|value| *value > 0.0);
        let ends = values.fold((f64::MAX, 0.0_f64), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        if ends.1 <= 0.0 {
            return Self::Log {
                from: 1.0,
                to: 10.0,
            };
        }
        let low = ends.0.log10().floor();
        let high = ends.1.log10().ceil().max(low + 1.0);
        Self::Log {
            from: 10_f64.powf(low),
            to: 10_f64.powf(high),
        }
    }

    /// 0 at the beginning of the axis and 1 at its end; what lies beyond is at the end.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = match self {
            Self::Linear { from, to } => (value - from) / (to - from),
            Self::Log { from, .. } if value <= from => 0.0,
            Self::Log { from, to } => (value / from).ln() / (to / from).ln(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Values with a mark, some five of them.
    pub(super) fn marks(self) -> Vec<f64> {
        match self {
            Self::Linear { from, to } => {
                let step = round_step((to - from) / MARKS);
                let first = (from / step).ceil();
                let marks = (0..MARKS_MAX).map(|nth| (first + f64::from(nth)) * step);
                marks.take_while(|mark| *mark <= to + step / 1e6).collect()
            }
            Self::Log { from, to } => {
                let marks = (0..DECADES_MAX).map(|nth| from * 10_f64.powi(nth));
                marks.take_while(|mark| *mark <= to * 1.001).collect()
            }
        }
    }
}

const MARKS: f64 = 5.0;
const MARKS_MAX: u32 = 20;
const DECADES_MAX: i32 = 20;

/// The least of 1, 2 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    if step <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(step.log10().floor());
    let rounds = [1.0, 2.0, 5.0, 10.0].map(|round| round * power);
    let above = rounds.into_iter().find(|round| *round >= step * 0.999_999);
    above.unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_axes_begin_at_zero_and_end_round() {
        let scale = Scale::from_zero([3.0, 870.0].into_iter());
        assert_eq!(
            scale,
            Scale::Linear {
                from: 0.0,
                to: 1000.0
            }
        );
        assert_eq!(scale.marks(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!((scale.share(250.0), scale.share(2000.0)), (0.25, 1.0));
        assert_eq!(Scale::from_zero([].into_iter()).share(0.0), 0.0);
    }

    #[test]
    fn log_axes_hold_whole_decades() {
        let scale = Scale::decades([0.0, 70.0, 1_000.0].into_iter());
        assert_eq!(scale.marks().len(), 3);
        assert!((scale.share(100.0) - 0.5).abs() < 1e-9);
        assert_eq!((scale.share(0.0), scale.share(1e9)), (0.0, 1.0));
        assert_eq!(Scale::decades([5.0].into_iter()).marks().len(), 2);
        assert_eq!(Scale::decades([].into_iter()).marks().len(), 2);
    }
}
