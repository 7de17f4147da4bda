//! What the demo prints for people.

use std::{
    env,
    io::{IsTerminal as _, Write as _},
};

use anyhow::{Context as _, Result};

use ha_tests::{clock::millis, daemon::binary};

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

/// Prints `text`. Nobody reading any more is an error like others, so that the
/// demo ends early and cleans up.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .context("cannot print")
}

pub(crate) fn introduction(paint: Paint, scene: &Scene) -> String {
    format!(
        "{}\n\n  node-a   10.77.0.1     priority {PRIORITY_A}   {}\n  \
         node-b   10.77.0.2     priority {PRIORITY_B}   harrier\n  \
         client   10.77.0.254   asks 10.77.0.100 every millisecond\n  \
         one switch between them; advertisements every {:?}\n",
        paint.strong("Harrier demo: a virtual address survives its node"),
        scene.peer.name(),
        scene.advert_interval,
    )
}

pub(crate) fn timeline(paint: Paint, timeline: &Timeline, strip: &str) -> String {
    let mut lines = vec![paint.faint("  since last advert    since cut")];
    for (at, what) in timeline.points() {
        let line = format!(
            "{:>15.1} ms {:>9.1} ms   {what}",
            millis_between(timeline.last_advert, at),
            millis_between(timeline.cut, at),
        );
        lines.push(if at == timeline.cut {
            paint.bad(&line)
        } else if at == timeline.first_answer {
            paint.good(&line)
        } else {
            line
        });
    }
    let strip: String = strip
        .chars()
        .map(|slice| match slice {
            'a' | 'b' => paint.good(&slice.to_string()),
            _ => paint.bad(&slice.to_string()),
        })
        .collect();
    let over = millis_between(timeline.active_down_due, timeline.first_answer);
    lines.push(format!("\n  answers  {strip}\n"));
    lines.push(format!(
        "  {}  {} from the last advertisement to the first answer",
        paint.strong("failover"),
        paint.strong(&millis(timeline.failover())),
    ));
    lines.push(format!(
        "            Active_Down_Interval is {}: ratio {:.3}, {over:.1} ms after it",
        millis(timeline.active_down_interval),
        timeline.ratio(),
    ));
    lines.push(format!(
        "  {}    {} without an answer: the cut fell {:.1} ms after an advertisement\n",
        paint.strong("outage"),
        paint.strong(&millis(timeline.outage())),
        millis_between(timeline.last_advert, timeline.cut),
    ));
    lines.join("\n")
}

pub(crate) fn map(paint: Paint, dump: &Dump) -> String {
    format!(
        "{}\n{}\n",
        paint.strong(&format!("# {}", dump.command)),
        dump.text
    )
}

/// How to look around in what `--keep` leaves up.
pub(crate) fn guide(paint: Paint, scene: &Scene) -> String {
    let switch = scene.lab.switch.name();
    let client = scene.lab.client.netns.name();
    let b = scene.b().netns.name();
    let runtime = scene.runtime_directory().display();
    let pins = scene.pins();
    let pins = pins.display();
    let harrier = harrier();
    let mut text = paint.strong("All of it is still up, node-a still cut off. Have a look:");
    for (command, what) in [
        (
            format!("{harrier} status --runtime-dir {runtime}"),
            "what node-b thinks",
        ),
        (
            format!("{harrier} peers --runtime-dir {runtime}"),
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
        text.push_str(&format!(
            "\n  {command:<68} {}",
            paint.faint(&format!("# {what}"))
        ));
    }
    text
}

/// The binary as one would type it here.
fn harrier() -> String {
    let Ok(path) = binary() else {
        return "harrier".to_owned();
    };
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(&path)
        .display()
        .to_string()
}
