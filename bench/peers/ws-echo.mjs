// The echo server of the README of npm `ws`, on the port that the command line names.
import { createRequire } from "node:module";
const { WebSocketServer } = createRequire(new URL("installed/", import.meta.url))("ws");

const port = Number(process.argv[2]);
const server = new WebSocketServer({ host: "127.0.0.1", port, perMessageDeflate: false, backlog: 4096 });
server.on("connection", (socket) => {
  socket.on("error", () => {});
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
});
