// Package peer knows the servers that are measured side by side: how each is
// built, started on one processor, spoken to and stopped.
//
// Its nouns: a Peer is one server with its tuning; a Workshop is the folder
// where peers are built and keep what they write; a Server is a peer that runs.
//
// All peers do the same work: a client joins one room over a WebSocket, posts
// texts, and every text reaches every member of the room, its sender too. What
// they do besides differs, and each Peer's About says so; Teahouse alone stores
// every message on disk before anyone sees it.
//
// Ownership: who starts a Server must stop it; Stop waits for the process.
package peer
