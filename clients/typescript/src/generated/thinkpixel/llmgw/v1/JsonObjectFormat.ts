// Original file: proto/thinkpixel/llmgw/v1/chat.proto


/**
 * JSON of any shape; the conversation has to ask for it as well.
 */
export interface JsonObjectFormat {
}

/**
 * JSON of any shape; the conversation has to ask for it as well.
 */
export interface JsonObjectFormat__Output {
}
