//! A daemon that was stopped or starved: as Backup it takes nothing over that is
//! served, as Active it does not go on as if nothing had happened. What it
//! decides with when it wakes is what the kernel saw meanwhile.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use ha_common::time::Timestamp;
use ha_tests::{
    capture::{Capture, Frame},
    clock::{self, millis},
    daemon::{Harrier, Instance},
    lab::Lab,
    need,
    siege::{Mark, PATIENCE, Siege, advert_of, longest, status, stress_span},
};
use rustix::{
    process::Signal,
    thread::{CpuSet, sched_setaffinity},
};

/// How long a process is stopped: many times Active_Down.
const STOPPED: Duration = Duration::from_secs(5);

/// Active_Down_Interval of priority 100 at 100 ms, by hand.
const ACTIVE_DOWN: Duration = Duration::from_nanos(360_937_500);
/// The same of priority 200.
const ACTIVE_DOWN_HIGH: Duration = Duration::from_nanos(321_875_000);

/// At once: less than the spans after which advertisements and announcements are
/// repeated, so that a repetition does not pass for the first.
const PROMPT: Duration = Duration::from_millis(95);

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

fn instance(priority: u8) -> Instance {
    Instance::new(priority, &["10.77.0.100/16"])
}

fn is_advert(frame: &Frame) -> bool {
    !frame.outgoing && frame.advert().is_some()
}

fn is_announcement(frame: &Frame) -> bool {
    !frame.outgoing && frame.packet.announces(IpAddr::from(VIP))
}

/// The first frame of `capture` after `at` for which `wanted` holds.
fn first_after(
    capture: &Capture,
    at: Timestamp,
    what: &str,
    wanted: impl Fn(&Frame) -> bool,
) -> Result<Frame> {
    capture.await_frame(what, 0, PATIENCE, |frame| frame.at > at && wanted(frame))
}

#[test]
fn a_stopped_backup_takes_nothing_over() -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let mark = siege.mark()?;
    siege.b.process.signal(Signal::STOP)?;
    // A stop of STOPPED, by the Active's advertisements every 100 ms.
    let heard = usize::try_from(STOPPED.as_millis() / 100)?;
    siege
        .of_a
        .await_adverts("node-a", siege.of_a.mark(), heard, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    siege.b.process.signal(Signal::CONT)?;
    // Awake for longer than the deadline that has passed.
    siege
        .of_a
        .await_adverts("node-a", siege.of_a.mark(), 8, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    siege.unmoved_since(&mark)
}

/// The Active dies while its Backup sleeps: the kernel has seen that nobody
/// advertised, and so the Backup does not wait once more.
#[test]
fn a_backup_that_slept_through_the_death_takes_over_at_once() -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let (host_a, _) = siege.lab.pair();
    siege.b.process.signal(Signal::STOP)?;
    siege.lab.cut(host_a)?;
    // Longer than Active_Down, with nobody on the link who could tell the time.
    thread::sleep(Duration::from_secs(1));
    let woken_at = clock::now();
    siege.b.process.signal(Signal::CONT)?;
    let first = first_after(&siege.of_b, woken_at, "node-b takes over", is_advert)?;
    let after = first.at.since(woken_at);
    println!("it took over {} after it woke", millis(after));
    ensure!(after < PROMPT, "only after {after:?}");
    siege.b.await_state("web", "active", PATIENCE)?;
    Ok(())
}

/// Who is stopped on the Active's node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Daemon,
    Everyone,
}

/// Runs `test` for both at once: it sleeps most of the time, each in a network
/// of its own.
fn for_both(test: fn(Who) -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let node = scope.spawn(|| test(Who::Everyone).context("the whole node stopped"));
        let daemon = test(Who::Daemon).context("the daemon stopped");
        let node = node
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        daemon.and(node)
    })
}

fn stop_node_a(siege: &mut Siege, who: Who) -> Result<()> {
    if who == Who::Everyone {
        siege.responders[0].set_stopped(true)?;
    }
    siege.a.process.signal(Signal::STOP)
}

/// Returns when.
fn wake_node_a(siege: &mut Siege, who: Who) -> Result<Timestamp> {
    let at = clock::now();
    siege.a.process.signal(Signal::CONT)?;
    if who == Who::Everyone {
        siege.responders[0].set_stopped(false)?;
    }
    Ok(at)
}

/// Stops the Active for [`STOPPED`] and sees the Backup take over by right;
/// returns when the Active is awake again.
fn through_a_stop(
    siege: &mut Siege,
    mark: &Mark,
    who: Who,
    active_down: Duration,
) -> Result<Timestamp> {
    stop_node_a(siege, who)?;
    let stopped_at = clock::now();
    let first = siege
        .of_b
        .await_frame("node-b takes over", mark.of_b, PATIENCE, is_advert)?;
    let last = siege
        .of_a
        .frames()
        .into_iter()
        .rfind(|frame| frame.at < first.at && is_advert(frame))
        .context("an advertisement of node-a")?;
    let waited = first.at.since(last.at);
    ensure!(waited >= active_down, "node-b took over after {waited:?}");
    let answered = siege.probe.mark();
    siege
        .probe
        .await_answers(&siege.lab.nodes[1], answered, 50, PATIENCE)?;
    let already = clock::now().since(stopped_at);
    // How long the stop lasts is what is tested: no event ends it.
    thread::sleep(STOPPED.saturating_sub(already));
    wake_node_a(siege, who)
}

/// What the client saw: for people.
fn tell_client(who: Who, siege: &Siege, mark: &Mark, woken_at: Timestamp) {
    let answers = siege.probe.answers();
    // From the last answer before on.
    let since = &answers[mark.answers.saturating_sub(1)..];
    let nobody = longest(since.iter().map(|answer| answer.at));
    let stale = since
        .iter()
        .filter(|answer| answer.at > woken_at)
        .filter(|answer| answer.node == siege.lab.nodes[0].number)
        .map(|answer| answer.at.since(woken_at))
        .collect::<Vec<_>>();
    println!(
        "{who:?} stopped: the client had no answer for {} at most; node-a answered {} times after it woke, first \
         after {}",
        millis(nobody),
        stale.len(),
        stale
            .first()
            .map_or_else(|| "-".to_owned(), |after| millis(*after)),
    );
}

/// The Active outranks who took over: it takes back, and tells everyone at once.
fn a_higher_active_takes_back(who: Who) -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let mark = siege.mark()?;
    let woken_at = through_a_stop(&mut siege, &mark, who, ACTIVE_DOWN)?;
    for (what, wanted) in [
        ("an advertisement", is_advert as fn(&Frame) -> bool),
        ("an announcement", is_announcement),
    ] {
        let first = first_after(&siege.of_a, woken_at, what, wanted)?;
        let after = first.at.since(woken_at);
        println!("{who:?} stopped: {what} {} after it woke", millis(after));
        ensure!(after < PROMPT, "{what} only after {after:?}");
    }
    siege.b.await_state("web", "backup", PATIENCE)?;
    let answered = siege.probe.mark();
    siege
        .probe
        .await_answers(&siege.lab.nodes[0], answered, 50, PATIENCE)?;
    tell_client(who, &siege, &mark, woken_at);
    siege.a_unmoved_since(&mark)?;
    ensure!(!siege.lab.nodes[1].has("10.77.0.100")?);
    let b = status(&siege.b)?;
    ensure!(b.transitions == mark.transitions[1] + 2, "{b:?}");
    Ok(())
}

#[test]
fn a_stopped_active_that_outranks_its_successor_takes_back() -> Result<()> {
    for_both(a_higher_active_takes_back)
}

/// The Active is outranked by who took over (who had not preempted it): it
/// yields, and says no more than its last word.
fn a_lower_active_yields(who: Who) -> Result<()> {
    let patient = Instance {
        preempt: false,
        ..instance(200)
    };
    let mut siege = Siege::laid(&instance(100), &patient)?;
    let mark = siege.mark()?;
    let woken_at = through_a_stop(&mut siege, &mark, who, ACTIVE_DOWN_HIGH)?;
    let yielded = siege.a.await_state("web", "backup", PATIENCE)?;
    ensure!(
        yielded.active.as_deref() == Some("10.77.0.2"),
        "{yielded:?}"
    );
    siege
        .of_b
        .await_adverts("node-b", siege.of_b.mark(), 8, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    let said: Vec<Frame> = siege
        .of_a
        .frames()
        .into_iter()
        .filter(|frame| frame.at > woken_at)
        .collect();
    let adverts = said.iter().filter(|frame| is_advert(frame)).count();
    ensure!(adverts <= 1, "{adverts} advertisements: {said:?}");
    ensure!(
        !said.iter().any(is_announcement),
        "it has announced the address: {said:?}"
    );
    tell_client(who, &siege, &mark, woken_at);
    ensure!(!siege.lab.nodes[0].has("10.77.0.100")?, "the address stays");
    let (a, b) = (status(&siege.a)?, status(&siege.b)?);
    ensure!(
        a.transitions == mark.transitions[0] + 1
            && b.transitions == mark.transitions[1] + 1
            && b.state == "active",
        "{a:?} {b:?}"
    );
    // Nobody but the successor serves, from when it served first.
    let answered = siege.probe.mark();
    let (host_a, host_b) = siege.lab.pair();
    siege.probe.await_answers(host_b, answered, 50, PATIENCE)?;
    ensure!(
        siege.probe.answers()[answered..]
            .iter()
            .all(|answer| answer.node != host_a.number),
        "node-a still answers"
    );
    Ok(())
}

#[test]
fn a_stopped_active_that_its_successor_outranks_yields() -> Result<()> {
    for_both(a_lower_active_yields)
}

/// Nobody was there to take over, as far as node-a can tell; but others must have
/// given it up, and clients and switches may know it by another port by now. It
/// advertises and announces at once, whatever its timers say.
#[test]
fn an_active_that_wakes_to_silence_announces_anew() -> Result<()> {
    let lab = Lab::new(1)?;
    let host = &lab.nodes[0];
    let of_a = Capture::start_of(&lab.switch, &host.name, host.mac())?;
    let mut a = Harrier::start(&lab, host, &[instance(200)])?;
    a.await_state("web", "active", PATIENCE)?;
    let taken_over = of_a.await_frame("the takeover", 0, PATIENCE, is_announcement)?;
    // The last repetition comes 5 s after the takeover: none is left to do by chance
    // what is asked for here.
    let nearly_5_s_later = taken_over.at + Duration::from_millis(4900);
    first_after(
        &of_a,
        nearly_5_s_later,
        "the last repetition",
        is_announcement,
    )?;

    a.process.signal(Signal::STOP)?;
    // The silence is what is tested: nobody else is there to be waited for.
    thread::sleep(Duration::from_secs(1));
    let woken_at = clock::now();
    a.process.signal(Signal::CONT)?;
    first_after(&of_a, woken_at, "an advertisement", is_advert)?;
    let announced = of_a.await_frame(
        "an announcement after the stop",
        0,
        Duration::from_secs(1),
        |frame| frame.at > woken_at && is_announcement(frame),
    )?;
    let after = announced.at.since(woken_at);
    println!("it announced {} after it woke", millis(after));
    ensure!(after < PROMPT, "it announced only after {after:?}");
    Ok(())
}

#[test]
fn a_stop_shorter_than_active_down_changes_nothing() -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let mark = siege.mark()?;
    for _ in 0..5 {
        // Right after an advertisement, so that the silence is no longer than the stop.
        siege
            .of_a
            .await_frame("node-a", siege.of_a.mark(), PATIENCE, is_advert)?;
        siege.a.process.signal(Signal::STOP)?;
        // The length of the stop is what is tested.
        thread::sleep(Duration::from_millis(200));
        let woken_at = wake_node_a(&mut siege, Who::Daemon)?;
        let first = first_after(&siege.of_a, woken_at, "node-a is late", is_advert)?;
        let after = first.at.since(woken_at);
        ensure!(after < PROMPT, "it advertised only {after:?} after it woke");
    }
    siege.unmoved_since(&mark)
}

/// Busy loops at normal priority, four on each CPU, until this is dropped.
struct Hogs {
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Hogs {
    fn start() -> Result<Self> {
        let done = Arc::new(AtomicBool::new(false));
        let cpus = thread::available_parallelism().context("how many CPUs")?;
        let mut hogs = Self {
            done: Arc::clone(&done),
            threads: Vec::new(),
        };
        for number in 0..4 * cpus.get() {
            let done = Arc::clone(&done);
            let hog = thread::Builder::new()
                .name("hog".into())
                .spawn(move || {
                    let mut cpu = CpuSet::new();
                    cpu.set(number % cpus.get());
                    // Where this process may not use that CPU, any other will do.
                    let _ = sched_setaffinity(None, &cpu);
                    while !done.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                })
                .context("cannot start a thread")?;
            hogs.threads.push(hog);
        }
        Ok(hogs)
    }
}

impl Drop for Hogs {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        for hog in self.threads.drain(..) {
            let _ = hog.join();
        }
    }
}

/// Keeps the machine busy, and returns the longest span between two of the
/// Active's advertisements meanwhile.
fn starved(siege: &Siege, mark: &Mark) -> Result<Duration> {
    let hogs = Hogs::start()?;
    // How long the machine is busy; what it does meanwhile is captured.
    thread::sleep(stress_span()?);
    drop(hogs);
    siege
        .of_a
        .await_adverts("node-a", siege.of_a.mark(), 8, PATIENCE, |advert| {
            advert.priority == 200
        })?;
    let frames = siege.of_a.frames();
    let own = frames[mark.of_a..].iter().filter(|frame| is_advert(frame));
    Ok(longest(own.map(|frame| frame.at)))
}

/// Neither node has moved, and the Backup has said nothing.
fn nobody_moved(siege: &mut Siege, mark: &Mark) -> Result<()> {
    siege.a_unmoved_since(mark)?;
    let b = status(&siege.b)?;
    ensure!(
        b.state == "backup" && b.transitions == mark.transitions[1],
        "the Backup has moved: {b:?}"
    );
    let said = advert_of(&siege.of_b, mark.of_b);
    ensure!(said.is_none(), "the Backup has advertised: {said:?}");
    Ok(())
}

#[test]
fn a_busy_machine_moves_nobody() -> Result<()> {
    let mut siege = Siege::laid(&instance(200), &instance(100))?;
    let mark = siege.mark()?;
    let gap = starved(&siege, &mark)?;
    println!(
        "with real-time scheduling: the longest gap was {}",
        millis(gap)
    );
    nobody_moved(&mut siege, &mark)
}

/// Without real-time scheduling the Active may be late, and the Backup too. But
/// what the Backup decides, it decides by the kernel's clock: late as it is, it
/// takes nothing over unless nobody was heard for as long as it takes.
#[test]
fn without_real_time_scheduling_it_is_late_at_worst() -> Result<()> {
    need::tools(&["setpriv"])?;
    let unprivileged = ["setpriv", "--bounding-set=-sys_nice"];
    let mut siege = Siege::laid_by(
        |lab, host, instance| {
            Harrier::start_by(lab, host, &unprivileged, std::slice::from_ref(instance))
        },
        &instance(200),
        &instance(100),
    )?;
    for harrier in [&mut siege.a, &mut siege.b] {
        harrier
            .process
            .await_log("no real-time scheduling", PATIENCE)?;
    }
    let mark = siege.mark()?;
    let gap = starved(&siege, &mark)?;
    println!("without it: the longest gap was {}", millis(gap));
    if gap < ACTIVE_DOWN {
        return nobody_moved(&mut siege, &mark);
    }
    // A silence that long hands over by right; then the higher priority is back.
    siege.a.await_state("web", "active", PATIENCE)?;
    siege.b.await_state("web", "backup", PATIENCE)?;
    Ok(())
}
