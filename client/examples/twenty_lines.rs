//! Sends one message and prints what comes: `twenty_lines ADDRESS TOKEN PEER TEXT`.
use millpond_client::{Client, Conversation, Event, Options, Token, UserId};

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "it is made to print")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, token, peer, text] = &arguments[..] else {
        return Err("usage: twenty_lines ADDRESS TOKEN PEER TEXT".into());
    };
    let peer = Conversation::Direct(UserId::new(peer.parse()?).ok_or("0 is no user")?);
    let (client, mut events) = Client::connect(Options::new(address, Token::Fixed(token.clone())))?;
    println!("durable: {:?}", client.send(peer, text.as_bytes()).await?);
    while let Some(event) = events.next().await {
        if let Event::Message(message) = &event {
            println!("{}", String::from_utf8_lossy(&message.payload));
        } else {
            println!("{event:?}");
        }
    }
    Ok(())
}
