// Original file: proto/thinkpixel/llmgw/v1/chat.proto


/**
 * Bytes in the request itself.
 */
export interface InlineData {
  /**
   * Such as `image/png`. Required.
   */
  'mediaType'?: (string);
  /**
   * The bytes as they are, not in base64.
   */
  'data'?: (Buffer | Uint8Array | string);
}

/**
 * Bytes in the request itself.
 */
export interface InlineData__Output {
  /**
   * Such as `image/png`. Required.
   */
  'mediaType': (string);
  /**
   * The bytes as they are, not in base64.
   */
  'data': (Buffer);
}
