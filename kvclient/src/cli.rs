//! The command line: arguments in, output and an exit code out.

mod admin;
mod arguments;
mod backup;
mod backup_file;
mod bench;
mod cluster;
mod duration;
mod export;
mod failure;
mod import;
mod import_redis;
mod keys;
mod menu;
mod output;
mod progress;
mod restore;
mod shell;
mod status;
mod target;
mod top;
mod values;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use kv_daemon::documents;
use kvclient::{Client, ClientOptions};

use self::arguments::{Arguments, Command, RestoreArguments};
use self::failure::{Failure, Verdict};
use self::output::Output;

/// What a command works with.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    if let Some(code) = documents::asked_for(Arguments::command) {
        return code;
    }
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(cause) => Err(Failure::Internal {
            what: format!("the system gives no event queue: {cause}"),
        }),
    };
    failure::exit_code(&result)
}

async fn run(arguments: Arguments) -> Result<Verdict, Failure> {
    let Arguments { options, command } = arguments;
    if let Command::Restore(RestoreArguments {
        file, check: true, ..
    }) = &command
    {
        // Nobody has to be asked for that.
        let mut output = Output::new(options.output);
        let verdict = restore::check(&mut output, file)?;
        output.flush()?;
        return Ok(verdict);
    }
    if options.coordinator.is_empty() && options.nodes.is_empty() {
        return Err(Failure::Usage {
            what: "name a coordinator with --coordinator or KV_COORDINATOR, or nodes with --nodes"
                .to_owned(),
        });
    }
    let client = Client::connect(ClientOptions {
        coordinators: options.coordinator,
        nodes: options.nodes,
        timeout: options.timeout,
        ..ClientOptions::default()
    })?;
    let mut context = Context {
        client,
        output: Output::new(options.output),
    };
    let result = match command {
        Command::Shell => shell::run(&mut context).await,
        Command::Menu => menu::run(&mut context).await,
        command => execute(&mut context, command).await,
    };
    let flushed = context.output.flush();
    context.client.close().await;
    let verdict = result?;
    flushed?;
    Ok(verdict)
}

/// Executes any command but those that read commands themselves.
async fn execute(context: &mut Context, command: Command) -> Result<Verdict, Failure> {
    match command {
        Command::Get(arguments) => values::get(context, arguments).await,
        Command::Put(arguments) => values::put(context, arguments).await,
        Command::Incr { key, by } => values::incr(context, key, by).await,
        Command::Delete { keys } => keys::delete(context, keys).await,
        Command::Exists { keys } => keys::exists(context, keys).await,
        Command::Ttl { key } => keys::ttl(context, key).await,
        Command::Expire { key, after } => keys::expire(context, key, after).await,
        Command::Persist { key } => keys::persist(context, key).await,
        Command::Scan { pattern, limit } => keys::scan(context, pattern, limit).await,
        Command::Count => keys::count(context).await,
        Command::Where { key: _ } => cluster::locate(context).await,
        Command::Status { watch } => status::run(context, watch).await,
        Command::Top { interval, frames } => top::run(context, interval, frames).await,
        Command::Events { limit } => cluster::events(context, limit).await,
        Command::Digest => cluster::digest(context).await,
        Command::Import(arguments) => import::run(context, arguments).await,
        Command::Export { file } => export::run(context, &file).await,
        Command::Backup { file } => backup::run(context, &file).await,
        Command::Restore(arguments) => restore::run(context, &arguments).await,
        Command::Bench(arguments) => bench::run(context, arguments).await,
        Command::Admin(order) => admin::run(context, order).await,
        Command::Shell | Command::Menu => Err(Failure::Usage {
            what: "there are commands to be typed here already".to_owned(),
        }),
    }
}
