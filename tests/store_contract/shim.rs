pub(crate) async fn client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
pub(crate) async fn database() -> String {
    let name = format!("t{:x}", rand::random::<u64>());
    client("postgres://sentinel@127.0.0.1:55432/postgres")
        .await
        .batch_execute(&format!("CREATE DATABASE {name} OWNER app"))
        .await
        .unwrap();
    format!("postgres://app@127.0.0.1:55432/{name}")
}
