//! Threads whose work can wait for that of others.

/// As nice as a thread can be: next to nothing while others want the processors, and all that they leave. A
/// checkpoint that gets too little falls behind, and then appends are slowed down, which makes room for it.
const NICENESS: i32 = 19;

/// Lets the calling thread, and those that it starts, give way to the serving and the log thread. Niceness is
/// a thread's own on Linux, whatever POSIX says.
pub(crate) fn give_way() {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "a thread in the background has the priority of all others");
    }
}
