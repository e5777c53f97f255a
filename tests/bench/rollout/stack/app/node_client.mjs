// A resident Node client: POST /?method=GET|POST&url=… on its own loopback port makes the call with Node's own fetch
// (a keep-alive pool for each origin) and answers what came back, or 502 with the error.
import { createServer } from "node:http";

createServer(async (incoming, out) => {
  const query = new URL(incoming.url, "http://localhost").searchParams;
  const parts = [];
  for await (const part of incoming) parts.push(part);
  try {
    const body = query.get("method") === "POST" ? Buffer.concat(parts) : undefined;
    const signal = AbortSignal.timeout(25000);
    const answer = await fetch(query.get("url"), { method: query.get("method"), body, signal });
    const data = Buffer.from(await answer.arrayBuffer());
    out.writeHead(answer.status, { "X-Version": answer.headers.get("x-version") ?? "" });
    out.end(data);
  } catch (error) {
    out.writeHead(502);
    out.end(`${error.name}: ${error.message} (${error.cause?.code ?? error.cause?.message ?? ""})`);
  }
}).listen(Number(process.argv[2]), "127.0.0.1");
