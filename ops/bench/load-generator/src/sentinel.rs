//! Who is master, as Sentinels say.

use kv_common::id::Address;

use crate::failure::Failure;
use crate::redis::RedisConnection;
use crate::reply::Reply;

/// The address of the master, by the first Sentinel that answers.
pub(crate) async fn master(sentinels: &[Address], name: &str) -> Result<Address, Failure> {
    for sentinel in sentinels {
        match ask(sentinel, name).await {
            Ok(address) => return Ok(address),
            Err(_) => continue,
        }
    }
    Err(Failure::NoPrimary)
}

async fn ask(sentinel: &Address, name: &str) -> Result<Address, Failure> {
    let mut connection = RedisConnection::open(sentinel, 0).await?;
    let words: [&[u8]; 3] = [b"SENTINEL", b"get-master-addr-by-name", name.as_bytes()];
    let reply = connection.ask(&words).await?;
    if let Reply::Array(parts) = &reply
        && let [Reply::Bulk(Some(host)), Reply::Bulk(Some(port))] = parts.as_slice()
    {
        let (host, port) = (String::from_utf8_lossy(host), String::from_utf8_lossy(port));
        return Ok(Address(format!("{host}:{port}")));
    }
    Err(Failure::NotUnderstood(format!("{reply:?}")))
}
