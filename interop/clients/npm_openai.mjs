// openai for JavaScript: an answer, a stream, tools, responses, a batch.
import assert from "node:assert";
import OpenAI, { toFile } from "openai";

const client = new OpenAI();
const model = "gpt-5.4-mini";
const messages = [{ role: "user", content: "hello" }];

const got = await client.chat.completions.create({ model, messages });
assert.equal(got.choices[0].message.content, "echo: hello");

let text = "";
for await (const piece of await client.chat.completions.create({ model, messages, stream: true }))
  text += piece.choices[0]?.delta?.content ?? "";
assert.equal(text, "echo: hello");

const parameters = { type: "object", properties: { city: { type: "string" } } };
const tools = [{ type: "function", function: { name: "weather", parameters } }];
const called = await client.chat.completions.create({ model, messages, tools, tool_choice: "required" });
assert.equal(called.choices[0].message.tool_calls[0].function.name, "weather");

assert.equal((await client.responses.create({ model, input: "hello" })).output_text, "echo: hello");

const row = { custom_id: "a", method: "POST", url: "/v1/chat/completions", body: { model, messages } };
const file = await client.files.create({
  file: await toFile(Buffer.from(JSON.stringify(row)), "rows.jsonl"),
  purpose: "batch",
});
let batch = await client.batches.create({
  input_file_id: file.id,
  endpoint: "/v1/chat/completions",
  completion_window: "24h",
});
while (batch.status !== "completed") {
  assert.ok(["validating", "in_progress", "finalizing"].includes(batch.status));
  await new Promise((done) => setTimeout(done, 200));
  batch = await client.batches.retrieve(batch.id);
}
assert.match(await (await client.files.content(batch.output_file_id)).text(), /echo: hello/);
