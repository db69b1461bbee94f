// Original file: proto/thinkpixel/llmgw/v1/chat.proto

import type { Image as _thinkpixel_llmgw_v1_Image, Image__Output as _thinkpixel_llmgw_v1_Image__Output } from '../../../thinkpixel/llmgw/v1/Image.ts';
import type { Audio as _thinkpixel_llmgw_v1_Audio, Audio__Output as _thinkpixel_llmgw_v1_Audio__Output } from '../../../thinkpixel/llmgw/v1/Audio.ts';
import type { File as _thinkpixel_llmgw_v1_File, File__Output as _thinkpixel_llmgw_v1_File__Output } from '../../../thinkpixel/llmgw/v1/File.ts';
import type { Struct as _google_protobuf_Struct, Struct__Output as _google_protobuf_Struct__Output } from '../../../google/protobuf/Struct.ts';

/**
 * One piece of a message.
 */
export interface ContentPart {
  /**
   * Text.
   */
  'text'?: (string);
  /**
   * An image.
   */
  'image'?: (_thinkpixel_llmgw_v1_Image | null);
  /**
   * Recorded speech or other sound.
   */
  'audio'?: (_thinkpixel_llmgw_v1_Audio | null);
  /**
   * A document.
   */
  'file'?: (_thinkpixel_llmgw_v1_File | null);
  /**
   * A part in OpenAI's form that has no field here.
   */
  'other'?: (_google_protobuf_Struct | null);
  /**
   * Members beside it in OpenAI's form, such as `cache_control`.
   */
  'extra'?: (_google_protobuf_Struct | null);
  /**
   * Exactly one of them.
   */
  'part'?: "text"|"image"|"audio"|"file"|"other";
}

/**
 * One piece of a message.
 */
export interface ContentPart__Output {
  /**
   * Text.
   */
  'text'?: (string);
  /**
   * An image.
   */
  'image'?: (_thinkpixel_llmgw_v1_Image__Output | null);
  /**
   * Recorded speech or other sound.
   */
  'audio'?: (_thinkpixel_llmgw_v1_Audio__Output | null);
  /**
   * A document.
   */
  'file'?: (_thinkpixel_llmgw_v1_File__Output | null);
  /**
   * A part in OpenAI's form that has no field here.
   */
  'other'?: (_google_protobuf_Struct__Output | null);
  /**
   * Members beside it in OpenAI's form, such as `cache_control`.
   */
  'extra': (_google_protobuf_Struct__Output | null);
  /**
   * Exactly one of them.
   */
  'part'?: "text"|"image"|"audio"|"file"|"other";
}
