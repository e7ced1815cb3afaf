import { createOpenAI } from "@ai-sdk/openai";
import { generateText } from "ai";

const openai = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL });
await generateText({ model: openai.chat("gpt-5.4-mini"), prompt: "hello" });
