//! What was measured, for people and for programs.

use super::{Compared, ROWS, Side};
use crate::machine::Machine;
use crate::page::html::time;
use serde_json::{Value, json};
use std::fmt::Write;

/// Two lines a call, and one of its parts inside.
pub fn table(machine: &Machine, compared: &[Compared]) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}; {}; KVM {}", machine.cpu, machine.kernel, machine.kvm);
    let _ = writeln!(text, "each side pinned to one CPU, warmed; the clock's own time is taken off\n");
    let _ = writeln!(
        text,
        "call         where      times       min       p50       p99     p99.9       max  inside/native"
    );
    for call in compared {
        let ratio = call.inside.p50_ns as f64 / call.native.p50_ns.max(1) as f64;
        for (name, side, times, ratio) in
            [(call.name, "native", &call.native, String::new()), ("", "inside", &call.inside, format!("{ratio:>15.2}"))]
        {
            let values: String = times.values().iter().map(|ns| format!("{:>10}", time(*ns))).collect();
            let _ = writeln!(text, "{name:<12} {side:<7} {:>8}{values}{ratio}", times.count);
        }
        if let Some(parts) = &call.parts {
            let _ = writeln!(text, "             probes  {}", parts.words());
        }
    }
    text
}

/// Everything.
pub fn json(machine: &Machine, native: &Side, inside: &Side, compared: &[Compared]) -> Value {
    let what = |name: &str| ROWS.iter().find(|row| row.name == name).map(|row| row.what);
    json!({
        "machine": {"cpu": machine.cpu, "kernel": machine.kernel, "kvm": machine.kvm},
        "ringwall": env!("CARGO_PKG_VERSION"),
        "overheadNs": {"native": native.overhead_ns, "inside": inside.overhead_ns},
        "calls": compared.iter().map(|call| json!({
            "name": call.name,
            "what": what(call.name),
            "native": call.native,
            "inside": call.inside,
            "parts": call.parts,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::distribution::{Distribution, Parts};
    use super::super::{Compared, Side, chart};
    use super::{json, table};
    use crate::machine::Machine;

    #[test]
    fn both_sides_stand_below_each_other() {
        let machine = Machine { cpu: "<CPU>".into(), kernel: "Linux 6".into(), kvm: "native" };
        let native = Distribution::of(vec![100, 120, 140], 0).expect("times");
        let inside = Distribution::of(vec![50, 60, 90_000], 0).expect("times");
        let part = |ns| Distribution::of(vec![ns], 0).expect("a time");
        let parts = Parts { entry: part(5), dispatch: part(2), handler: part(40), exit: part(8) };
        let compared = [Compared { name: "read", native, inside, parts: Some(parts) }];
        let text = table(&machine, &compared);
        assert!(text.contains("read         native         3    100 ns    120 ns"), "{text}");
        assert!(text.contains("             inside         3     50 ns     60 ns"), "{text}");
        let parts = "entry 5 ns, dispatch 2 ns, handler 40 ns, exit 8 ns";
        assert!(text.ends_with(&format!("0.50\n             probes  {parts}\n")), "{text}");
        let side = Side { overhead_ns: 20, calls: Vec::new() };
        let value = json(&machine, &side, &side, &compared);
        assert_eq!((&value["calls"][0]["inside"]["p50Ns"], &value["overheadNs"]["native"]), (&60.into(), &20.into()));
        assert_eq!(value["calls"][0]["parts"]["handler"]["p50Ns"], 40);
        let svg = chart(&machine, &compared);
        assert!(svg.contains(&format!(">{parts}<")), "{svg}");
        assert!(
            svg.contains("&lt;CPU&gt;") && svg.contains(">read<") && !svg.contains("NaN") && !svg.contains("inf"),
            "{svg}"
        );
        assert!(chart(&machine, &[]).ends_with("</svg>\n"));
    }
}
