import type { ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js'
import { GatewayError } from '../../core/errors.ts'
import { allowedModelsOf } from '../../core/keys/allowed-models.ts'
import type { Caller } from '../../core/keys/caller.ts'
import type { Price as CanonicalPrice } from '../../core/pricing/price.ts'
import { findUsable, usableNames } from '../../core/routing/listed-models.ts'
import type { RoutingSnapshot } from '../../core/routing/snapshot.ts'
import type { ServiceTier } from '../../core/usage/usage.ts'
import type { GetModelRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/GetModelRequest.ts'
import type { GetModelResponse } from '../../generated/proto/thinkpixel/llmgw/v1/GetModelResponse.ts'
import type { ListModelsRequest__Output } from '../../generated/proto/thinkpixel/llmgw/v1/ListModelsRequest.ts'
import type { ListModelsResponse } from '../../generated/proto/thinkpixel/llmgw/v1/ListModelsResponse.ts'
import type { Model } from '../../generated/proto/thinkpixel/llmgw/v1/Model.ts'
import type { Price } from '../../generated/proto/thinkpixel/llmgw/v1/Price.ts'
import type { ServiceTier as WireServiceTier } from '../../generated/proto/thinkpixel/llmgw/v1/ServiceTier.ts'
import type { UnitKind as WireUnitKind } from '../../generated/proto/thinkpixel/llmgw/v1/UnitKind.ts'
import { MalformedMessage } from './contract.ts'
import type { ServerCall } from './open-call.ts'

export interface ModelServiceDeps {
  callerOf(call: ServerCall): Caller | Promise<Caller>
  snapshot(): RoutingSnapshot
  /** Ends a call that failed. */
  refuse(thrown: unknown, done: sendUnaryData<unknown>): void
}

const pageSizeDefault = 50
const pageSizeMax = 100

/** ModelService: what the caller's key may use. */
export function createModelService({ callerOf, snapshot, refuse }: ModelServiceDeps) {
  const answering =
    <Request, Response>(answer: (request: Request, caller: Caller) => Response) =>
    async (call: ServerUnaryCall<Request, Response>, done: sendUnaryData<Response>): Promise<void> => {
      try {
        const caller = await callerOf(call as ServerCall)
        if (call.request instanceof MalformedMessage) {
          throw new GatewayError('invalid_body', 'The message is not one of the type that the method takes.')
        }
        done(null, answer(call.request, caller))
      } catch (thrown) {
        refuse(thrown, done as sendUnaryData<unknown>)
      }
    }
  return {
    ListModels: answering((request: ListModelsRequest__Output, caller) => listModels(snapshot(), caller, request)),
    GetModel: answering(({ name }: GetModelRequest__Output, caller): GetModelResponse => {
      const model = modelOf(snapshot(), caller, name)
      if (!model) throw new GatewayError('model_not_found', `There is no model ${name.slice(0, 200)} for this key.`)
      return { model }
    }),
  }
}

function listModels(
  snapshot: RoutingSnapshot,
  caller: Caller,
  { pageSize, pageToken }: ListModelsRequest__Output,
): ListModelsResponse {
  if (pageSize < 0) throw new GatewayError('invalid_body', '"page_size" must not be negative.', { param: 'page_size' })
  const size = Math.min(pageSize || pageSizeDefault, pageSizeMax)
  const after = lastNameOf(pageToken)
  const names = [...usableNames(snapshot, allowedModelsOf(caller))].filter((name) => name > after).sort()
  const page = names.slice(0, size)
  const last = names.length > size ? page[page.length - 1] : undefined
  return {
    models: page.flatMap((name) => modelOf(snapshot, caller, name) ?? []),
    nextPageToken: last === undefined ? '' : Buffer.from(last).toString('base64url'),
  }
}

/** A page begins behind the name that its token holds, so that it is right when models have come or gone meanwhile. */
function lastNameOf(pageToken: string): string {
  const name = Buffer.from(pageToken, 'base64url').toString('utf8')
  if (Buffer.from(name).toString('base64url') === pageToken) return name
  throw new GatewayError('invalid_body', '"page_token" must be the next_page_token of an answer.', {
    param: 'page_token',
  })
}

function modelOf(snapshot: RoutingSnapshot, caller: Caller, name: string): Model | undefined {
  const found = findUsable(snapshot, caller, name)
  if (!found) return undefined
  if (found.kind === 'alias') {
    const [target] = found.alias.targets
    const mode = target?.provider.findModel(target.model)?.mode ?? ''
    return { name, mode, createTime: { seconds: found.alias.createdS } }
  }
  const { provider, entry } = found
  return {
    name,
    provider: provider.name,
    mode: entry.mode,
    ...(entry.contextWindowTokens !== undefined && { contextWindowTokens: entry.contextWindowTokens }),
    ...(entry.maxOutputTokens !== undefined && { maxOutputTokens: entry.maxOutputTokens }),
    price: entry.price ? priceOf(entry.price) : null,
    createTime: { seconds: entry.createdS },
  }
}

const serviceTiers = {
  default: 'SERVICE_TIER_DEFAULT',
  flex: 'SERVICE_TIER_FLEX',
  priority: 'SERVICE_TIER_PRIORITY',
  batch: 'SERVICE_TIER_BATCH',
} as const satisfies Record<ServiceTier, WireServiceTier>

const priceOf = ({ id, tables }: CanonicalPrice): Price => ({
  id,
  rateTables: tables.map(({ serviceTier, aboveInputTokens, rates }) => ({
    serviceTier: serviceTiers[serviceTier],
    aboveInputTokens,
    rates: Object.entries(rates).map(([kind, nano]) => ({
      unitKind: `UNIT_KIND_${kind.toUpperCase()}` as WireUnitKind,
      perMillionUnits: { nanoUsd: String(nano) },
    })),
  })),
})
