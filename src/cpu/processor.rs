//! What the processor is called, and which of its instructions the executor takes.

use std::sync::LazyLock;

use super::Isa;

static SAID: LazyLock<String> = LazyLock::new(|| format!("{}, {}", name(), Isa::best().title()));

/// `AMD EPYC 9654 96-Core Processor, AVX-512`.
pub fn processor() -> &'static str {
    &SAID
}

/// The processor's name; where it does not tell, its kind.
fn name() -> String {
    #[cfg(target_arch = "x86_64")]
    let given = super::microkernels::brand();
    #[cfg(not(target_arch = "x86_64"))]
    let given = std::fs::read_to_string("/proc/cpuinfo").ok().as_deref().and_then(listed);
    let name = given.map(|given| short(&given)).filter(|name| !name.is_empty());
    name.unwrap_or(std::env::consts::ARCH.into())
}

/// The name in Linux's list of processors: of the processor itself, else of the machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn listed(list: &str) -> Option<String> {
    let value = |wanted: &&str| {
        let fields = list.lines().filter_map(|line| line.split_once(':'));
        fields
            .into_iter()
            .find(|(field, _)| field.trim().eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    };
    // `model` alone is the machine on ARM, and a number on x86.
    ["model name", "cpu model", "hardware", "model"].iter().find_map(value).map(String::from)
}

/// Without marks of trade and runs of spaces.
fn short(given: &str) -> String {
    let bare =
        ["(R)", "(r)", "(TM)", "(tm)"].iter().fold(given.to_string(), |name, mark| name.replace(mark, ""));
    bare.replace(" CPU", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short() {
        for (given, expected) in [
            ("Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz", "Intel Xeon X5650 @ 2.67GHz"),
            ("AMD EPYC 7B13", "AMD EPYC 7B13"),
            ("  12th Gen Intel(R) Core(TM) i7-1260P\n", "12th Gen Intel Core i7-1260P"),
        ] {
            assert_eq!(short(given), expected);
        }
        let pi =
            "processor\t: 0\nBogoMIPS\t: 108.00\n\nHardware\t: BCM2835\nModel\t\t: Raspberry Pi 4 Model B\n";
        assert_eq!(listed(pi).map(|name| short(&name)).as_deref(), Some("BCM2835"));
        assert_eq!(listed("processor\t: 0\n"), None);
    }

    #[test]
    fn the_instructions_are_those_that_run() {
        let (name, title) = processor().rsplit_once(", ").unwrap();
        assert!(!name.is_empty() && !name.contains(char::is_control), "{name:?}");
        assert_eq!(title, Isa::best().title());
    }
}
