//! Bars side by side, the first of which is the subject: a sentence says how it stands to the best of the others.

use super::escape::Escaped;
use super::scale::Scale;
use super::words;
use crate::report::{Bar, Bars, Better};

pub(super) fn html(all: &[Bars]) -> String {
    all.iter().map(comparison).collect()
}

fn comparison(bars: &Bars) -> String {
    let highest = |bar: &Bar| bar.range.map(|range| range.1).or(bar.value);
    let scale = Scale::from_zero(bars.bars().iter().filter_map(highest));
    let rows = bars.bars().iter().map(|bar| row(bar, &bars.unit, scale));
    format!(
        "<figure class=\"bars\"><figcaption><h3>{}</h3><p>{}</p></figcaption><dl>{}</dl></figure>\n",
        Escaped(&bars.name),
        Escaped(&sentence(bars)),
        rows.collect::<String>()
    )
}

fn row(bar: &Bar, unit: &str, scale: Scale) -> String {
    let name = Escaped(&bar.name);
    let Some(value) = bar.value else {
        let why = bar.missing.as_deref().unwrap_or("not measured");
        return format!("<dt>{name}</dt><dd class=\"missing\">{}</dd>", Escaped(why));
    };
    let percent = |value| scale.share(value) * 100.0;
    let range = bar.range.map_or_else(String::new, |(low, high)| {
        let (left, right) = (percent(low), 100.0 - percent(high));
        format!("<s style=\"left:{left:.2}%;right:{right:.2}%\"></s>")
    });
    let value_text = words::quantity(value, unit);
    format!(
        "<dt>{name}</dt><dd><span class=\"track\"><i style=\"width:{:.2}%\"></i>{range}</span><b>{}</b></dd>",
        percent(value),
        Escaped(&value_text),
    )
}

/// How the first bar stands to the best of the others.
fn sentence(bars: &Bars) -> String {
    let direction = match bars.better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
        Better::Neither => return bars.unit.clone(),
    };
    let [subject, others @ ..] = bars.bars() else {
        return format!("{}; {direction}", bars.unit);
    };
    let measured = others.iter().filter_map(|bar| Some((bar.value?, bar)));
    let best = match bars.better {
        Better::Lower => measured.min_by(|one, other| one.0.total_cmp(&other.0)),
        Better::Higher | Better::Neither => measured.max_by(|one, other| one.0.total_cmp(&other.0)),
    };
    match (subject.value, best) {
        (Some(value), Some((best_value, best))) if best_value > 0.0 => format!(
            "{} has {:.2} × what {} has, the best of the others; {direction}",
            subject.name,
            value / best_value,
            best.name
        ),
        _ => format!("{}; {direction}", bars.unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_compared_with_the_best_other() {
        let lower = Bars::new("memory", "B", Better::Lower)
            .value("ours", 90.0)
            .missing("gone", "it ended")
            .value("slow", 200.0)
            .value("quick", 100.0);
        assert_eq!(
            sentence(&lower),
            "ours has 0.90 × what quick has, the best of the others; lower is better"
        );
        let higher = Bars::new("rate", "/s", Better::Higher)
            .value("ours", 90.0)
            .value("slow", 60.0);
        assert!(sentence(&higher).starts_with("ours has 1.50 × what slow"));
        let alone = Bars::new("rate", "/s", Better::Higher).value("ours", 90.0);
        assert_eq!(sentence(&alone), "/s; higher is better");
    }
}
