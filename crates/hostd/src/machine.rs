//! The machine's task: starts it when asked, carries out what the guest says, starts it again when it crashed,
//! stops it in order.
//!
//! ```text
//!             Start                API answers                 Stop
//!  Stopped ──────────► Starting ───────────────► Running ───────────────► Stopping ──► Stopped, the daemon ends
//!                       ▲   │ problem               │ crash
//!  Failed ◄─────────────┼───┘                       │
//!     └────── Start ────┘◄──────────────────────────┘
//! ```

use std::time::{Duration, Instant};

use protocol::control::Problem;
use protocol::guest::{FromGuest, ToGuest};
use protocol::machine::{Kind, State};
use tokio::sync::mpsc;

use crate::boot::{Running, boot};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::state::{Change, Shared};

/// The guest's 10 s to power off, and the way there.
const POWER_OFF: Duration = Duration::from_secs(15);
/// A machine that ran for so long was sound: its crash is the first.
const SOUND: Duration = Duration::from_secs(60);
/// Crashes in a row after which it is left for the user to look at.
const MOST_CRASHES: u32 = 3;
/// Before the first restart; before each further one it is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// For clients to hear the last status before the process ends.
const FAREWELL: Duration = Duration::from_millis(100);

/// A daemon that nobody wants anything of ends.
const FIRST_WISH: Duration = Duration::from_secs(30);

/// Why a running machine no longer is.
enum End {
    Stopped,
    Crashed(Problem),
}

/// Serves wishes until one of them is to stop.
pub(crate) async fn run(settings: Settings, state: Shared, mut inbox: mpsc::Receiver<Change>) {
    // A client that starts a daemon and dies before it says why leaves none behind.
    let mut next = tokio::time::timeout(FIRST_WISH, inbox.recv()).await.ok().flatten();
    while let Some(change) = next {
        let stopped = match change {
            Change::Stop => true,
            Change::Start(kind) => {
                // One kind of machine exists: whatever is asked for is this one.
                tracing::info!(?kind, "start");
                keep_running(&settings, &state, &mut inbox).await
            }
        };
        if stopped {
            break;
        }
        next = inbox.recv().await;
    }
    state.change(|status| status.state = State::Stopped);
    tokio::time::sleep(FAREWELL).await;
}

/// Keeps a machine running; true when it was asked to stop, false when it can't go on.
async fn keep_running(settings: &Settings, state: &Shared, inbox: &mut mpsc::Receiver<Change>) -> bool {
    let mut crashes = 0;
    loop {
        state.begin(State::Starting);
        state.change(|status| status.machine = Some(Kind::Emulated));
        let booted = tokio::select! {
            booted = boot(settings, state) => booted,
            () = stop_wish(inbox, state) => return true,
        };
        let booted_at = Instant::now();
        let problem = match booted {
            Ok(running) => {
                state.change(|status| status.state = State::Running);
                match serve(running, state, inbox).await {
                    End::Stopped => return true,
                    End::Crashed(problem) => problem,
                }
            }
            Err(problem) => {
                // The first start is the user's to look at; a restart that fails is one more crash.
                if crashes == 0 {
                    state.fail(problem);
                    return false;
                }
                problem
            }
        };
        crashes = if booted_at.elapsed() > SOUND { 1 } else { crashes + 1 };
        tracing::error!(crashes, "{}", problem.message);
        if crashes >= MOST_CRASHES {
            state.fail(problem);
            return false;
        }
        state.change(|status| status.state = State::Starting);
        tokio::select! {
            () = tokio::time::sleep(PAUSE * 2_u32.pow(crashes - 1)) => {}
            () = stop_wish(inbox, state) => return true,
        }
    }
}

/// Waits for the wish to stop; wishes to start are granted already.
async fn stop_wish(inbox: &mut mpsc::Receiver<Change>, state: &Shared) {
    while let Some(Change::Start(_)) = inbox.recv().await {
        state.change(|_| ());
    }
}

/// Carries out what the guest says until the machine ends or is to stop.
async fn serve(mut running: Running, state: &Shared, inbox: &mut mpsc::Receiver<Change>) -> End {
    let mut clock = Clock::new();
    loop {
        tokio::select! {
            () = stop_wish(inbox, state) => {
                stop(running, state).await;
                return End::Stopped;
            }
            problem = running.vmm.ended() => {
                state.change(|status| status.ports.clear());
                return End::Crashed(problem);
            }
            () = clock.is_due() => {
                // A guest that doesn't hear any more ends, or its stream does: both are noticed elsewhere.
                drop(running.guest.follow_host().await);
            }
            Some(message) = running.guest.messages.recv() => {
                if let FromGuest::Publish { generation, ports: wanted } = message {
                    running.guest.publish(generation, &wanted, &mut running.ports, state).await;
                }
            }
        }
    }
}

/// Powers off in order; the machine is killed when that takes too long.
async fn stop(mut running: Running, state: &Shared) {
    state.begin(State::Stopping);
    let power_off = async {
        if let Err(error) = running.guest.say(&ToGuest::PowerOff).await {
            tracing::warn!(%error, "the guest can't be asked to power off");
        }
        if !running.vmm.end_within(POWER_OFF).await {
            tracing::warn!("the machine was killed: it didn't power off in time");
        }
        Ok(())
    };
    let deadline = POWER_OFF + Duration::from_secs(1);
    let phase = state.phase(Instant::now(), "power off", "containers and the data disk", deadline, power_off);
    drop(phase.await);
}
