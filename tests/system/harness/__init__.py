"""What the system tests stand on: a real gateway, real apps with ledgers, and a client that sends bytes as given."""
