//! What the demo prints for people.

use std::{env, fmt::Write as _, io::IsTerminal as _};

use ha_tests::clock::millis;

use crate::{
    maps::Dump,
    scene::{PRIORITY_A, PRIORITY_B, Scene},
    timeline::{Timeline, millis_between},
};

/// Colours, on a terminal that wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    colours: bool,
}

impl Paint {
    pub(crate) fn for_stdout() -> Self {
        // https://no-color.org
        let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            colours: std::io::stdout().is_terminal() && !refused,
        }
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn good(self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn bad(self, text: &str) -> String {
        self.wrap("31", text)
    }
}

pub(crate) fn introduction(paint: Paint, scene: &Scene) {
    println!(
        "{}",
        paint.strong("Harrier demo: a virtual address survives its node")
    );
    println!();
    let peer = scene.peer.name();
    println!("  node-a   10.77.0.1     priority {PRIORITY_A}   {peer}");
    println!("  node-b   10.77.0.2     priority {PRIORITY_B}   harrier");
    println!("  client   10.77.0.254   asks 10.77.0.100 every millisecond");
    println!(
        "  one switch between them; advertisements every {:?}",
        scene.advert_interval
    );
    println!();
}

pub(crate) fn timeline(paint: Paint, timeline: &Timeline, strip: &str) {
    println!("{}", paint.faint("  since last advert    since cut"));
    for (at, what) in timeline.points() {
        let line = format!(
            "{:>15.1} ms {:>9.1} ms   {what}",
            millis_between(timeline.last_advert, at),
            millis_between(timeline.cut, at),
        );
        let line = if at == timeline.cut {
            paint.bad(&line)
        } else if at == timeline.first_answer {
            paint.good(&line)
        } else {
            line
        };
        println!("{line}");
    }
    println!();
    let strip: String = strip
        .chars()
        .map(|slice| match slice {
            'a' | 'b' => paint.good(&slice.to_string()),
            _ => paint.bad(&slice.to_string()),
        })
        .collect();
    println!("  answers  {strip}");
    println!();
    let over = millis_between(timeline.active_down_due, timeline.first_answer);
    println!(
        "  {}  {} from the last advertisement to the first answer",
        paint.strong("failover"),
        paint.strong(&millis(timeline.failover())),
    );
    println!(
        "            Active_Down_Interval is {}: ratio {:.3}, {over:.1} ms after it",
        millis(timeline.active_down_interval),
        timeline.ratio(),
    );
    println!(
        "  {}    {} without an answer: the cut fell {:.1} ms after an advertisement",
        paint.strong("outage"),
        paint.strong(&millis(timeline.outage())),
        millis_between(timeline.last_advert, timeline.cut),
    );
    println!();
}

pub(crate) fn map(paint: Paint, dump: &Dump) {
    println!("{}", paint.strong(&format!("# {}", dump.command)));
    println!("{}\n", dump.text);
}

/// How to look around in what `--keep` leaves up.
pub(crate) fn guide(paint: Paint, scene: &Scene) -> String {
    let switch = scene.lab.switch.name();
    let client = scene.lab.client.netns.name();
    let b = scene.b().netns.name();
    let runtime = scene.runtime_directory().display();
    let pins = scene.pins();
    let pins = pins.display();
    let mut text = paint.strong("All of it is still up, node-a still cut off. Have a look:");
    for (command, what) in [
        (
            format!("harrier status --runtime-dir {runtime}"),
            "what node-b thinks",
        ),
        (
            format!("harrier peers --runtime-dir {runtime}"),
            "whom it has heard",
        ),
        (
            format!("bpftool map dump pinned {pins}/peers"),
            "the same from the kernel",
        ),
        (
            format!("bpftool map dump pinned {pins}/counters"),
            "why packets were refused",
        ),
        (
            format!("ip -n {b} address show dev eth0"),
            "the address on node-b",
        ),
        (format!("ip netns exec {client} ping 10.77.0.100"), "ask it"),
        (
            format!("ip netns exec {b} tcpdump -ni eth0 vrrp or arp"),
            "watch the wire",
        ),
        (
            format!("bridge -n {switch} link set dev node-a state 3"),
            "mend node-a (0 cuts it)",
        ),
        ("cargo xtask demo --clean".to_owned(), "end all of it"),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n  {command:<68} {}",
            paint.faint(&format!("# {what}"))
        );
    }
    text
}
