//! The permissions of a user, tried when a store is connected to.

use lock_core::{MailboxId, Operation, Result};
use redis::Cmd;

use crate::config::RedisConfig;
use crate::connection::dialer::connect_failed;
use crate::connection::handle::{ConnectionHandle, send};
use crate::error;
use crate::keyspace::Keyspace;
use crate::script::{Arg, Form, Script, Scripts};

pub(crate) static PROBE: Script =
    Script::short("probe", include_str!("../scripts/probe.lua")).taking_memory();

/// Finds out whether the user may do all that is ever done, and listen to a mailbox.
pub(crate) async fn probe(
    handle: &ConnectionHandle,
    scripts: &Scripts,
    keyspace: &Keyspace,
    config: &RedisConfig,
) -> Result<()> {
    let mut handle = handle.clone();
    let channel = keyspace.channel(MailboxId::from_bits(0));
    let (keys, args) = ([keyspace.probe()], [Arg::Bytes(&channel)]);
    let limit = config.timeout;
    let probed = tokio::time::timeout(limit, async {
        handle.call(scripts, &PROBE, &keys, &args).await?;
        let mut connection = handle.connection;
        if handle.form == Form::Scripts {
            // Later, one that the server has forgotten is loaded when it is called.
            for load in scripts.load_all() {
                send(&mut connection, &load).await?;
            }
        }
        for command in commands(keyspace, config) {
            send(&mut connection, &command).await?;
        }
        connection.subscribe(&channel[..]).await?;
        connection.unsubscribe(&channel[..]).await
    });
    match probed.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(connect_failed(&error)),
        Err(_) => Err(error::no_answer(Operation::Connect, limit)),
    }
}

/// The commands that are sent as they are, in a form that does nothing.
fn commands(keyspace: &Keyspace, config: &RedisConfig) -> Vec<Cmd> {
    let command = |words: &[&str]| {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command
    };
    let (probe, waits) = (&*keyspace.probe(), &*keyspace.waits());
    let states = keyspace.states("");
    let mut commands = vec![
        command(&["PING"]),
        command(&["SCAN", "0", "MATCH", &states, "COUNT", "1"]),
        command(&["ZRANGEBYLEX", waits, "[", "[", "LIMIT", "0", "1"]),
        command(&["SET", probe, "", "NX", "PX", "1"]),
    ];
    if config.journal.is_some() {
        let journal = &*keyspace.journal();
        commands.push(command(&["XRANGE", journal, "+", "-", "COUNT", "1"]));
        commands.push(command(&["XREVRANGE", journal, "-", "+", "COUNT", "1"]));
        commands.push(command(&["XREAD", "COUNT", "1", "STREAMS", journal, "$"]));
    }
    if config.min_replicas > 0 {
        commands.push(command(&["WAIT", "0", "1"]));
    }
    #[cfg(feature = "cluster")]
    if matches!(config.topology, crate::topology::Topology::Cluster(_)) {
        // The command that follows it is no different for it: the slot is not on its way.
        commands.push(command(&["CLUSTER", "NODES"]));
        commands.push(command(&["ASKING"]));
        commands.push(command(&["GET", probe]));
    }
    commands
}
