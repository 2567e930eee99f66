// A chat on Socket.IO: WebSocket only, rooms are Socket.IO's rooms. Tuned as its
// documentation advises: the native add-on bufferutil, no compression, and the
// request of the handshake is let go. Nothing is stored.

import { createServer } from "node:http";
import { Server } from "socket.io";

const http = createServer();
const io = new Server(http, {
	transports: ["websocket"],
	allowUpgrades: false,
	serveClient: false,
	perMessageDeflate: false,
	httpCompression: false,
});

io.engine.on("connection", (raw) => {
	raw.request = null;
});

io.on("connection", (socket) => {
	socket.on("join", (room) => {
		socket.join(room);
		socket.emit("joined");
	});
	socket.on("post", (room, message) => {
		io.to(room).emit("message", message);
	});
});

http.listen(Number(process.argv[2]), "127.0.0.1");
