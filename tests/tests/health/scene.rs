//! What is checked, and who looks on.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use ha_common::time::Timestamp;
use ha_tests::{
    clock,
    daemon::{CheckStatus, Harrier, Instance},
    lab::{Host, Lab},
    probe::{Probe, Responder},
};

/// What takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const VIP: &str = "10.77.0.100";
pub(crate) const VIP_CIDR: &str = "10.77.0.100/16";

/// Span between two looks of a server at whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A section `[[check]]` with the name `name` and these lines.
pub(crate) fn check(name: &str, lines: &str) -> String {
    format!("[[check]]\nname = \"{name}\"\n{lines}\n")
}

/// An elected pair: node-a with priority 120 and checks, node-b with 100 and none.
pub(crate) struct Pair {
    pub(crate) a: Harrier,
    pub(crate) b: Harrier,
    pub(crate) probe: Probe,
    _responders: [Responder; 2],
    pub(crate) lab: Lab,
}

impl Pair {
    /// `lines` belong to the instance of node-a; checks may follow them.
    pub(crate) fn new(lab: Lab, lines: &str) -> Result<Self> {
        let (host_a, host_b) = lab.pair();
        let responders = [Responder::start(host_a)?, Responder::start(host_b)?];
        let probe = Probe::start(&lab.client, VIP.parse()?)?;
        let checked = Instance::new(120, &[VIP_CIDR]).with(lines);
        let mut a = Harrier::start(&lab, host_a, &[checked])?;
        a.await_state("web", "active", PATIENCE)?;
        let mut b = Harrier::start(&lab, host_b, &[Instance::new(100, &[VIP_CIDR])])?;
        // Until it has heard the other, it waits for longer than one that falls below it
        // has it wait.
        b.await_status("web follows node-a", PATIENCE, |status| {
            let follows = Some(host_a.ipv4().to_string());
            (status.instances[0].active == follows).then_some(())
        })?;
        Ok(Self {
            a,
            b,
            probe,
            _responders: responders,
            lab,
        })
    }

    /// Has `change` take the addresses from node-a to node-b; returns how long that
    /// took: until the client had an answer of node-b.
    pub(crate) fn moves_to_b(&mut self, change: impl FnOnce() -> Result<()>) -> Result<Duration> {
        let (host_a, host_b) = self.lab.pair();
        let mark = self.probe.mark();
        self.probe.await_answers(host_a, mark, 20, PATIENCE)?;
        let mark = self.probe.mark();
        let began = clock::now();
        change()?;
        let first = self.probe.await_answers(host_b, mark, 20, PATIENCE)?;
        Ok(first.at.since(began))
    }

    pub(crate) fn is_back_at_a(&mut self) -> Result<()> {
        self.a.await_state("web", "active", PATIENCE)?;
        self.b.await_state("web", "backup", PATIENCE)?;
        Ok(())
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        self.a.stop()?;
        self.b.stop()
    }
}

/// Waits until the check `name` of `harrier` is as `wanted`.
pub(crate) fn await_check(
    harrier: &mut Harrier,
    name: &str,
    wanted: impl Fn(&CheckStatus) -> bool,
) -> Result<CheckStatus> {
    harrier.await_status(&format!("check {name}"), PATIENCE, |status| {
        let mut checks = status.checks.iter();
        let check = checks.find(|check| check.name == name)?;
        wanted(check).then(|| check.clone())
    })
}

pub(crate) fn await_checks(harrier: &mut Harrier, state: &str) -> Result<Vec<CheckStatus>> {
    harrier.await_status(&format!("all checks {state}"), PATIENCE, |status| {
        let all = status.checks.iter().all(|check| check.state == state);
        (all && !status.checks.is_empty()).then(|| status.checks.clone())
    })
}

/// What `harrier` has logged with `words` in it.
pub(crate) fn logged(harrier: &Harrier, words: &str) -> usize {
    let log = harrier.process.log();
    log.lines().filter(|line| line.contains(words)).count()
}

/// What a server answers to the first line and the headers of a request: status
/// and body, or nothing at all.
pub(crate) type Answer = dyn Fn(u64, &str) -> Option<(u16, String)> + Send + Sync;

/// A server on a host, for HTTP and for who only connects.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ends: AtomicBool,
    accepted: Mutex<Vec<Timestamp>>,
}

impl Server {
    /// At `address` of `host`; its port may be 0.
    pub(crate) fn start(
        host: &Host,
        address: &str,
        answer: impl Fn(u64, &str) -> Option<(u16, String)> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = host
            .netns
            .enter(|| TcpListener::bind(address))?
            .with_context(|| format!("cannot listen on {address}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("server".into()).spawn({
            let shared = Arc::clone(&shared);
            move || serve(&listener, &shared, &answer)
        })?;
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Answers everything with status 200.
    pub(crate) fn well(host: &Host) -> Result<Self> {
        Self::start(host, "127.0.0.1:0", |_, _| {
            Some((200, "all well".to_owned()))
        })
    }

    /// When connections were accepted.
    pub(crate) fn accepted(&self) -> Vec<Timestamp> {
        let accepted = self.shared.accepted.lock();
        accepted.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A panic of its own was printed.
            let _ = thread.join();
        }
    }
}

fn serve(listener: &TcpListener, shared: &Shared, answer: &Answer) {
    let mut nth = 0;
    // Those that get no answer stay open.
    let mut silent = Vec::new();
    while !shared.ends.load(Ordering::SeqCst) {
        let mut poll = [rustix::event::PollFd::new(
            listener,
            rustix::event::PollFlags::IN,
        )];
        let wait = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: LOOK_EVERY.as_nanos().try_into().unwrap_or(0),
        };
        let _ = rustix::event::poll(&mut poll, Some(&wait));
        while let Ok((stream, _)) = listener.accept() {
            let mut accepted = shared
                .accepted
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            accepted.push(clock::now());
            drop(accepted);
            match talk(&stream, nth, answer) {
                // It only wanted to connect.
                Ok(None) | Err(_) => {}
                Ok(Some(true)) => nth += 1,
                Ok(Some(false)) => {
                    nth += 1;
                    silent.push(stream);
                }
            }
        }
    }
}

/// Whether a request was answered; `None` if there was none.
fn talk(mut stream: &TcpStream, nth: u64, answer: &Answer) -> std::io::Result<Option<bool>> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut request = Vec::new();
    let mut buffer = [0; 2048];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            length => request.extend_from_slice(&buffer[..length]),
        }
    }
    let Some((status, body)) = answer(nth, &String::from_utf8_lossy(&request)) else {
        return Ok(Some(false));
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    Ok(Some(true))
}

/// Processes with a program of their own, so that nobody else's are taken for them.
pub(crate) struct Programs<'a> {
    directory: &'a Path,
    running: BTreeMap<u32, Child>,
}

impl<'a> Programs<'a> {
    pub(crate) fn new(directory: &'a Path) -> Self {
        Self {
            directory,
            running: BTreeMap::new(),
        }
    }

    /// Starts a process of the program `name`, which does nothing; its number.
    pub(crate) fn start(&mut self, name: &str) -> Result<u32> {
        let path = self.directory.join(name);
        if !path.exists() {
            fs::copy("/bin/sleep", &path).context("cannot copy /bin/sleep")?;
        }
        let mut command = Command::new(&path);
        command.arg("1000").stdin(Stdio::null()).process_group(0);
        let child = command.spawn().context("cannot start a process")?;
        let id = child.id();
        self.running.insert(id, child);
        Ok(id)
    }

    /// Kills it, and leaves it a zombie until the end.
    pub(crate) fn kill(&mut self, id: u32) -> Result<()> {
        let child = self.running.get_mut(&id).context("no such process")?;
        child.kill().context("cannot kill it")
    }
}

impl Drop for Programs<'_> {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            // It may have ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How many processes have `words` in their command line.
pub(crate) fn count_processes(words: &str) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/proc").context("cannot read /proc")? {
        let path = entry?.path().join("cmdline");
        let line = fs::read(path).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        count += usize::from(line.contains(words));
    }
    Ok(count)
}

/// Waits until there is no process with `words` in its command line.
pub(crate) fn await_no_process(words: &str) -> Result<()> {
    let give_up_at = Instant::now() + PATIENCE;
    while count_processes(words)? > 0 {
        ensure!(Instant::now() < give_up_at, "{words:?} still runs");
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
