/* ring_notes.c - the journal: notes that end messages
 *
 * Runs in the main thread of heloise-intake, and in commands. */
#include "queue/ring_parts.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTES_AT_ONCE 1024

static struct ring_note *note_at(uint64_t number)
{
  return &ring.note[number - ring.first];
}

void ring_add_note(enum journal_type type, const char *id, uint64_t seq)
{
  struct ring_note n = {.type = type, .seq = seq};

  if (ring.notes - ring.first == ring.notes_room) {
    size_t room = ring.notes_room ? ring.notes_room * 2 : 256;
    struct ring_note *bigger = reallocarray(ring.note, room, sizeof *bigger);
    if (!bigger)
      return; /* not confirmed: said again to the next run */
    ring.note = bigger;
    ring.notes_room = room;
  }
  memcpy(n.id, id, STORE_ID_LEN);
  *note_at(ring.notes++) = n;
}

void ring_note(enum journal_type type, const char *id, uint64_t seq)
{
  struct flight *f;

  pthread_mutex_lock(&ring.lock);
  f = flights_find(&ring.live, id);
  if (f)
    flights_drop(&ring.live, f);
  /* of a message that is in no segment there is nothing to end; our own notes end what a
   * failed write may have left */
  ring_add_note(f || seq == 0 ? type : (enum journal_type)0, id, seq);
  pthread_mutex_unlock(&ring.lock);
}

void ring_forget_seqs(void)
{
  pthread_mutex_lock(&ring.lock);
  for (uint64_t i = ring.first; i < ring.notes; i++)
    note_at(i)->seq = 0;
  pthread_mutex_unlock(&ring.lock);
}

int ring_write_notes(void)
{
  static char buf[NOTES_AT_ONCE][JOURNAL_RECORD];
  struct ring_segment *s;
  uint64_t next = ring.written;
  size_t n = 0;

  if (!ring_fits(JOURNAL_RECORD) &&
      (!ring_is_free(ring_after(ring.last)) || !ring_is_made(ring_after(ring.last)) || ring_go_on() != 0))
    return -1;
  s = &ring.segment[ring.current];
  for (; next < ring.notes && n < NOTES_AT_ONCE && ring_fits((n + 1) * JOURNAL_RECORD); next++) {
    const struct ring_note *note = note_at(next);
    struct journal_record r = {.type = note->type, .flushed = (uint32_t)ring.flushed};
    if (!note->type)
      continue;
    memcpy(r.id, note->id, sizeof r.id);
    journal_record_make(buf[n++], &s->head, &r, NULL, 0);
  }
  if (n > 0 && pwrite(s->fd, buf, n * JOURNAL_RECORD, (off_t)ring.at) != (ssize_t)(n * JOURNAL_RECORD)) {
    ring.is_broken = 1;
    return -1;
  }
  ring.at += n * JOURNAL_RECORD;
  s->is_dirty |= n > 0;
  ring.written = next;
  return 0;
}

void ring_pass_empty_notes(void)
{
  while (ring.written < ring.notes && !note_at(ring.written)->type) {
    ring.durable += ring.durable == ring.written;
    ring.written++;
  }
}

uint64_t ring_settled(void)
{
  uint64_t seq = 0;

  pthread_mutex_lock(&ring.lock);
  for (uint64_t i = ring.first; i < ring.durable; i++)
    seq = note_at(i)->seq > seq ? note_at(i)->seq : seq;
  if (ring.durable > ring.first)
    memmove(ring.note, note_at(ring.durable), (ring.notes - ring.durable) * sizeof *ring.note);
  ring.first = ring.durable;
  pthread_mutex_unlock(&ring.lock);
  return seq;
}
