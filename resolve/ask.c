/* ask.c - questions to heloise-resolve, the side that other programs link
 *
 * Runs in attempts (user hldeliver, confined to their channels). The resolver is trusted
 * more than the attempt, but what it hands on comes from the network. */
#include "resolve/ask.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "common/chan.h"
#include "resolve/answer.h"

static uint64_t last_number; /* of a question; late answers to earlier ones are told apart by it */

static int64_t clock_ms(void)
{
  struct timespec t;

  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int send_question(int sock, const struct ask_question *q, uint64_t number)
{
  struct wire_out o;

  wire_start(&o, WIRE_QUESTION);
  wire_num(&o, number);
  wire_str(&o, q->name);
  wire_str(&o, q->type);
  return chan_send_blocking(sock, &o, -1);
}

/* takes an answer apart; what is wrong in it makes it a failed one */
static void read_answer(const struct wire_msg *m, struct ask_question *q)
{
  uint64_t ttl;
  enum ask_status status;

  if (answer_status_read(m->f[1].s, m->f[1].len, &status) != 0 ||
      answer_security_read(m->f[2].s, m->f[2].len, &q->security) != 0 ||
      wire_get_num(m, 4, UINT32_MAX, &ttl) != 0 ||
      wire_get_text(m, 3, ASK_NAME_MAX + 1, &q->canonical) != 0 ||
      m->f[5].len > ANSWER_RECORDS_MAX || !stralloc_copyb(&q->records, m->f[5].s, m->f[5].len))
    return;
  q->ttl = (uint32_t)ttl;
  q->status = q->security == ASK_BOGUS ? ASK_FAILED : status;
}

void ask_all(int sock, struct ask_question *q, size_t n, int timeout_ms)
{
  int64_t deadline = clock_ms() + timeout_ms;
  uint64_t base = last_number + 1, number;
  size_t waiting = 0;
  unsigned char is_asked[ASK_AT_ONCE] = {0};

  last_number += n;
  for (size_t i = 0; i < n; i++) {
    q[i].status = ASK_FAILED;
    if (i < ASK_AT_ONCE && sock >= 0 && send_question(sock, &q[i], base + i) == 0) {
      is_asked[i] = 1;
      waiting++;
    }
  }
  while (waiting > 0) {
    struct wire_msg m;
    int64_t left = deadline - clock_ms();
    if (left <= 0 ||
        chan_recv_blocking(sock, LINK_ASK, WIRE_LOW, (int)left, &m) != 1)
      return;
    if (wire_get_num(&m, 0, UINT64_MAX, &number) != 0 || number < base || number >= base + n ||
        !is_asked[number - base])
      continue;
    is_asked[number - base] = 0;
    read_answer(&m, &q[number - base]);
    waiting--;
  }
}

void ask_free(struct ask_question *q, size_t n)
{
  for (size_t i = 0; i < n; i++) {
    free(q[i].canonical.s);
    free(q[i].records.s);
    q[i].canonical = q[i].records = (stralloc){0};
  }
}
