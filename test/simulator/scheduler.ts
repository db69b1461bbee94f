import type { Mutation } from './mutations.ts'
import type { Operation } from './operations.ts'
import { quiet } from './quiet.ts'
import { SimulatedReplica } from './simulated-replica.ts'
import type { SimulatedTimer } from './simulated-timers.ts'
import { Violation } from './violation.ts'
import type { World } from './world.ts'

const slots = 3
const callsMax = 24
const stepsMax = 260
/** Milliseconds by which time moves on, and how often; the long ones are silences and ends of periods. */
const leaps = [
  [30, 1],
  [30, 7],
  [30, 45],
  [20, 120],
  [20, 260],
  [12, 500],
  [12, 1_000],
  [8, 2_100],
  [4, 5_000],
  [1, 15_000],
  [1, 24_000],
  [1, 31_000],
] as const

type Fate = 'happens' | 'fails' | 'loses its answer' | 'is given up'
const oddsOfFates: readonly (readonly [number, Fate])[] = [
  [40, 'happens'],
  [2, 'fails'],
  [3, 'loses its answer'],
  [2, 'is given up'],
]
const oddsWhileAway: readonly (readonly [number, Fate])[] = [
  [2, 'fails'],
  [3, 'loses its answer'],
  [1, 'is given up'],
]

interface Slot {
  /** The process of this place, the last one when it is gone. */
  replica: SimulatedReplica
  restarts: number
  /** Those before it whose journal it has taken over. */
  formers: SimulatedReplica[]
}

/** Decides what happens next, and looks at the money after it. */
export class Scheduler {
  readonly trace: string[] = []
  kills = 0
  #isDatabaseAway = false
  readonly #world: World
  readonly #mutation: Mutation
  readonly #slots: Slot[] = []
  readonly #lostDisks = new Set<SimulatedReplica>()

  constructor(world: World, mutation: Mutation) {
    this.#world = world
    this.#mutation = mutation
  }

  isDiskLost(replica: SimulatedReplica): boolean {
    return this.#lostDisks.has(replica)
  }

  /** Calls and faults, until all calls were made and for a while after that. @throws Violation */
  async play(): Promise<void> {
    const { random } = this.#world
    for (let slot = 0; slot < random.int(1, slots); slot++) {
      this.#slots.push({ replica: await this.#start(slot, 0, undefined), restarts: 0, formers: [] })
    }
    const calls = random.int(4, callsMax)
    for (let step = 0; step < stepsMax && !(this.#world.calls.size >= calls && random.chance(0.02)); step++) {
      await this.#step(this.#world.calls.size < calls)
    }
  }

  async #step(mayCall: boolean): Promise<void> {
    const { world } = this
    const serving = this.#slots.filter(({ replica }) => replica.state === 'serving').map(({ replica }) => replica)
    const paused = this.#slots.filter(({ replica }) => replica.state === 'paused').map(({ replica }) => replica)
    const gone = this.#slots.filter(({ replica }) => replica.state === 'gone')
    const idle = serving.filter(({ running }) => running === 0)
    const awake = (owner: object | undefined): boolean => !paused.includes(owner as SimulatedReplica)
    const notDone = world.operations.inOrder().filter(({ state }) => state !== 'done')
    const sent = notDone.filter(({ name }) => name !== 'provider')
    const answers = notDone.filter(({ name }) => name === 'provider') // takes longer than all the others
    const done = world.operations.inOrder().filter(({ state, owner }) => state === 'done' && awake(owner))
    const due = this.#dueTimers()
    const events = world.events.filter(({ to }) => awake(to))
    const { random } = world
    const open = [...world.calls.values()].filter(({ isOver, replica }) => !isOver && replica.state === 'serving')
    await random.weighted<() => unknown>([
      [mayCall && serving.length > 0 ? 7 : 0, () => this.#call(random.pick(serving))],
      [sent.length > 0 ? 14 : 0, () => this.#happen(random.pick(sent))],
      [answers.length > 0 ? 3 : 0, () => this.#happen(random.pick(answers))],
      [done.length > 0 ? 14 : 0, () => this.#deliver(random.pick(done))],
      [due.length > 0 ? 20 : 0, () => this.#fire(random.pick(due))],
      [events.length > 0 ? 5 : 0, () => this.#event(random.pick(events))],
      [sent.length + done.length + due.length > 0 ? 3 : 6, () => this.#wait(random.weighted(leaps))],
      [
        serving.length > 0 ? 0.45 : 0,
        () => this.#kill(random.pick(this.#slots.filter(({ replica }) => replica.state === 'serving'))),
      ],
      [serving.length > 0 ? 0.25 : 0, () => this.#pause(random.pick(serving))],
      [paused.length > 0 ? 2 : 0, () => this.#resume(random.pick(paused))],
      [gone.length > 0 ? 2 : 0, () => this.#restart(random.pick(gone))],
      [open.length > 0 ? 0.7 : 0, () => this.#cancel(random.pick(open).id)],
      [this.#isDatabaseAway ? 2 : 0.4, () => this.#loseDatabase(!this.#isDatabaseAway)],
      [idle.length > 0 ? 0.2 : 0, () => this.#stop(random.pick(idle))],
    ])()
    await this.#settle()
  }

  private get world(): World {
    return this.#world
  }

  async #settle(): Promise<void> {
    const { world } = this
    await quiet(world)
    world.watch.checkHoldings()
    if (!world.operations.hasHappened) return
    world.operations.hasHappened = false
    await world.watch.check()
  }

  #dueTimers(): SimulatedTimer[] {
    const { monotonicMs } = this.#world
    const due: SimulatedTimer[] = []
    for (const { replica } of this.#slots) {
      if (replica.state === 'paused') continue
      for (const timer of replica.timers) if (timer.dueMs - timer.earlyMs <= monotonicMs) due.push(timer)
    }
    return due.sort((a, b) => a.dueMs - b.dueMs)
  }

  async #start(slot: number, restarts: number, journal: string | undefined): Promise<SimulatedReplica> {
    const id = `${this.#world.name}/${slot}.${restarts}`
    const folder = journal ?? `${this.#world.folder}/${slot}.${restarts}`
    const replica = await SimulatedReplica.start(this.#world, id, folder, this.#mutation)
    this.#world.replicas.push(replica)
    return replica
  }

  #call(replica: SimulatedReplica): void {
    this.#note(`${replica.id}: a call arrives`)
    this.#world.call(replica)
  }

  /** A statement arrives, or does not; and its answer does, or does not. */
  async #happen(operation: Operation): Promise<void> {
    const { random, operations, monotonicMs } = this.#world
    const { name } = operation
    if (operation.state === 'late') {
      const isTooLate = monotonicMs - operation.sentMs > operation.timeoutMs
      this.#note(`late: ${name}${isTooLate ? ' is lost' : ''}`)
      if (isTooLate) operations.pending.delete(operation)
      else await operation.execute()
      return
    }
    const isTimeUp = monotonicMs - operation.sentMs > operation.timeoutMs
    const odds = this.#isDatabaseAway ? oddsWhileAway : oddsOfFates
    const fate = name === 'provider' ? 'happens' : isTimeUp ? 'fails' : random.weighted(odds)
    this.#note(`${this.#nameOf(operation)} ${fate}`)
    if (fate === 'fails') operation.fail()
    else if (fate === 'is given up') {
      operation.fail()
      operation.state = 'late'
      operations.pending.add(operation)
    } else {
      await operation.execute()
      if (fate === 'loses its answer') operation.fail()
    }
  }

  #deliver(operation: Operation): void {
    const isTimeUp = this.#world.monotonicMs - operation.sentMs > operation.timeoutMs && this.#world.random.chance(0.5)
    this.#note(`${this.#nameOf(operation)} ${isTimeUp ? 'was answered too late' : 'is answered'}`)
    if (isTimeUp) operation.fail()
    else operation.deliver()
  }

  #fire(timer: SimulatedTimer): void {
    this.#note('a timer fires')
    timer.fire()
  }

  #event(event: World['events'][number]): void {
    const { events, random } = this.#world
    events.splice(events.indexOf(event), 1)
    const isLost = event.to.state === 'gone' || random.chance(0.05)
    this.#note(`${event.to.id}: an event ${isLost ? 'is lost' : 'arrives'}`)
    if (!isLost) event.deliver()
  }

  #wait(ms: number): void {
    this.#note(`${ms} ms pass`)
    this.#world.monotonicMs += ms
  }

  #kill(slot: Slot): void {
    const { replica } = slot
    this.kills++
    if (this.#world.random.chance(0.4)) this.#loseDisk(slot)
    this.#note(`${replica.id} is killed${this.isDiskLost(replica) ? ' and its disk is lost' : ''}`)
    replica.kill()
  }

  #loseDisk({ formers, replica }: Slot): void {
    for (const lost of [...formers, replica]) this.#lostDisks.add(lost)
  }

  #pause(replica: SimulatedReplica): void {
    this.#note(`${replica.id} is paused`)
    replica.state = 'paused'
  }

  #resume(replica: SimulatedReplica): void {
    this.#note(`${replica.id} goes on`)
    replica.state = 'serving'
  }

  #stop(replica: SimulatedReplica): void {
    this.#note(`${replica.id} is stopped`)
    void replica.stop()
  }

  /** For a while nothing is certain. */
  #loseDatabase(isAway: boolean): void {
    this.#note(`the database is ${isAway ? 'hardly to be reached' : 'back'}`)
    this.#isDatabaseAway = isAway
  }

  #cancel(id: string): void {
    const call = this.#world.calls.get(id)
    this.#note(`the client of ${id} leaves`)
    if (call) this.#world.cancel(call)
  }

  /** A new process in the place of one that is gone, with its journal unless that is lost. */
  async #restart(slot: Slot): Promise<void> {
    const { replica: former } = slot
    const place = this.#slots.indexOf(slot)
    slot.restarts++
    slot.formers = this.isDiskLost(former) ? [] : [...slot.formers, former]
    const journal = this.isDiskLost(former) ? undefined : former.copyJournal(`${place}.${slot.restarts}`)
    slot.replica = await this.#start(place, slot.restarts, journal)
    this.#note(`${slot.replica.id} starts`)
  }

  /**
   * No more calls and no more faults: what is paused goes on, what was killed starts again, every call ends; and then
   * there is time enough for idle leases to go back, and for what vanished replicas held to be found.
   *
   * @throws Violation
   */
  async comeToRest(): Promise<void> {
    for (const slot of this.#slots) {
      if (slot.replica.state === 'paused') this.#resume(slot.replica)
      if (slot.replica.state !== 'gone') continue
      if (this.#world.random.chance(0.3)) this.#loseDisk(slot)
      await this.#restart(slot)
    }
    await this.#goOn(600_000, () => this.#isQuiet())
    if (!this.#isQuiet()) throw new Violation(`M5: calls do not end: ${this.#unfinished()}.`)
    await this.#goOn(12_000)
    await this.#world.watch.checkNothingHeldByTheLiving()
    if (!(await this.#world.watch.anythingLeft())) return
    // What was being stopped is gone by now, and somebody has to be there who sweeps up.
    for (const slot of this.#slots) if (slot.replica.state === 'gone') await this.#restart(slot)
    await this.#goOn(60_000) // silence is noticed after 30 s, and looked for every 15 s
  }

  #isQuiet(): boolean {
    return this.#slots.every(({ replica }) => replica.running === 0 || replica.state === 'gone')
  }

  #unfinished(): string {
    const open = [...this.#world.calls.values()].filter(({ isOver, replica }) => !isOver && replica.state !== 'gone')
    return open.map(({ id }) => id).join()
  }

  /** Everything happens in its order and at its time. */
  async #goOn(forMs: number, isEnough: () => boolean = () => false): Promise<void> {
    const world = this.#world
    const untilMs = world.monotonicMs + forMs
    for (let turn = 0; turn < 20_000 && !isEnough(); turn++) {
      const [operation] = world.operations.inOrder()
      const event = world.events[0]
      const due = this.#dueTimers()
      if (operation) {
        this.#note(`${this.#nameOf(operation)} goes on`)
        if (operation.state === 'done') operation.deliver()
        else await operation.execute()
        await this.#settle()
      } else if (event) {
        world.events.shift()
        event.deliver()
        await quiet(world)
      } else if (due.length > 0) {
        for (const timer of due) timer.fire()
        await quiet(world)
      } else {
        const nextMs = Math.min(
          ...this.#slots.flatMap(({ replica }) => [...replica.timers].map(({ dueMs }) => dueMs)),
          Number.POSITIVE_INFINITY,
        )
        world.monotonicMs = Math.max(world.monotonicMs, Math.min(nextMs, untilMs))
        if (nextMs > untilMs) return
      }
    }
  }

  async releaseFiles(): Promise<void> {
    for (const replica of this.#world.replicas) {
      replica.kill() // whatever it still waits for, a lock of the database among them, ends with it
      await replica.releaseFiles()
    }
  }

  #nameOf({ name, owner }: Operation): string {
    return `${(owner as SimulatedReplica | undefined)?.id ?? 'nobody'}: ${name}`
  }

  #note(line: string): void {
    // Nothing of what differs from run to run.
    const known = line
      .replaceAll(`${this.#world.name}/`, 'replica ')
      .replaceAll(/[0-9a-f]{8}-0000-7000-8000-0*/g, 'call ')
    this.trace.push(`${this.#world.monotonicMs} ms  ${known}`)
  }
}
