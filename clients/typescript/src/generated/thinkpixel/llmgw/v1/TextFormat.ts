// Original file: proto/thinkpixel/llmgw/v1/chat.proto


/**
 * Anything.
 */
export interface TextFormat {
}

/**
 * Anything.
 */
export interface TextFormat__Output {
}
