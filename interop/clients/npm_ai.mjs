// The Vercel AI SDK over responses, its default, and over chat completions: an answer, a stream, an object.
import assert from "node:assert";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, streamText } from "ai";
import { z } from "zod";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
const prompt = "hello";

for (const model of [openai("gpt-5.4-mini"), openai.chat("gpt-5.4-mini")]) {
  assert.equal((await generateText({ model, prompt })).text, "echo: hello");
  let text = "";
  for await (const piece of streamText({ model, prompt }).textStream) text += piece;
  assert.equal(text, "echo: hello");
  const output = Output.object({ schema: z.object({ name: z.string() }) });
  assert.equal(typeof (await generateText({ model, prompt, output })).output.name, "string");
}
