/** One tab each, in the order of a first walk. */
export const examples: readonly { query: string; variables?: string }[] = [
  {
    query: `# Who is signed in, and what is there. Run an operation with Ctrl+Enter.
query Overview {
  viewer {
    name
    roles {
      role
    }
  }
  organizations {
    nodes {
      id
      slug
    }
  }
  providers {
    nodes {
      id
      name
      type
      enabled
    }
  }
}
`,
  },
  {
    query: `# Where calls go. The demo answers by itself; another type takes a baseUrl and credentials.
mutation CreateProvider($input: ProviderCreateInput!) {
  providerCreate(input: $input) {
    provider {
      id
      name
    }
    errors {
      ... on UserError {
        message
        path
      }
    }
  }
}
`,
    variables: JSON.stringify({ input: { name: 'try-out', type: 'DEMO' } }, null, 2),
  },
  {
    query: `# A name of your own for a model; providerId is what CreateProvider has answered.
mutation CreateAlias($input: AliasCreateInput!) {
  aliasCreate(input: $input) {
    alias {
      id
      name
    }
    errors {
      ... on UserError {
        message
        path
      }
    }
  }
}
`,
    variables: JSON.stringify({ input: { name: 'hello', targets: [{ providerId: '', model: 'demo-chat' }] } }, null, 2),
  },
  {
    query: `# What clients call with; ownerId is of an organization or a team. The secret is shown once.
mutation CreateKey($input: ApiKeyCreateInput!) {
  apiKeyCreate(input: $input) {
    apiKey {
      id
    }
    secret
    errors {
      ... on UserError {
        message
        path
      }
    }
  }
}
`,
    variables: JSON.stringify({ input: { ownerId: '', name: 'first-key' } }, null, 2),
  },
  {
    query: `# Calls as they are recorded. Leave it running, and call with the key.
subscription Calls {
  usageRecorded {
    requestId
    apiKey {
      name
    }
    alias
    provider
    model
    inputTokens
    outputTokens
    cost {
      usd
    }
  }
}
`,
  },
  {
    query: `# What was spent, day by day, and by whom.
query Spend($since: DateTime!) {
  usageStatistics(since: $since, interval: DAY, by: [ORGANIZATION, MODEL]) {
    rows {
      bucket
      organization {
        slug
      }
      model
      requests
      cost {
        usd
      }
    }
  }
}
`,
    variables: JSON.stringify({ since: new Date(Date.now() - 30 * 86_400_000).toISOString() }, null, 2),
  },
]
