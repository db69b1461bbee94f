// Original file: proto/thinkpixel/llmgw/v1/chat_service.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';

/**
 * Who answers.
 */
export interface StartEvent {
  /**
   * The gateway's id of the call, a UUIDv7.
   */
  'requestId'?: (string);
  /**
   * The provider that answers.
   */
  'provider'?: (string);
  /**
   * The provider's id of the answer, or one of the gateway's.
   */
  'id'?: (string);
  /**
   * What the provider calls the model that answers.
   */
  'model'?: (string);
  /**
   * When the answer was begun.
   */
  'createTime'?: (_google_protobuf_Timestamp | null);
}

/**
 * Who answers.
 */
export interface StartEvent__Output {
  /**
   * The gateway's id of the call, a UUIDv7.
   */
  'requestId': (string);
  /**
   * The provider that answers.
   */
  'provider': (string);
  /**
   * The provider's id of the answer, or one of the gateway's.
   */
  'id': (string);
  /**
   * What the provider calls the model that answers.
   */
  'model': (string);
  /**
   * When the answer was begun.
   */
  'createTime': (_google_protobuf_Timestamp__Output | null);
}
