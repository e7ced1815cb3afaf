import OpenAI from "openai";

const messages = [{ role: "user", content: "hello" }];
await new OpenAI().chat.completions.create({ model: "gpt-5.4-mini", messages });
