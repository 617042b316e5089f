/* limits.c - what each client network does, of all processes of heloise-smtpd together
 *
 * Runs in heloise-smtpd and `heloise run`. What others write here is believed as far as that a
 * client is refused for a time, or not: a process that was taken over can do no more by it.
 * Counts are kept without locks, and may be off by what happens in the same microsecond. */
#include "smtpd/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <xxhash.h>

#include "common/settings.h"

#define SECRET 192 /* XXH3_SECRET_SIZE_MIN is 136 */
#define WAYS 8     /* slots that a hash may have */
#define SLOTS_SHARED 32768
#define SLOTS_ALONE 64

/* a network, or a line and who fits it */
struct slot {
  uint64_t hash;               /* 0: free */
  uint32_t seen;               /* s */
  uint32_t unused;
  uint64_t window[LIMIT_COUNT]; /* how full each bucket is, and since when: fill() */
  uint16_t sessions[LIMITS_PROCESSES];
};

struct limits {
  unsigned char secret[SECRET];
  struct slot slot[];
};

static union {
  struct limits l;
  char room[sizeof(struct limits) + SLOTS_ALONE * sizeof(struct slot)];
} alone;
static struct limits *shared = &alone.l;
static size_t nslots = SLOTS_ALONE;
static unsigned int own;

#define SHARED_SIZE (sizeof(struct limits) + SLOTS_SHARED * sizeof(struct slot))

/* ---- for run */

int limits_make(void)
{
  unsigned char secret[SECRET];
  int fd = memfd_create("limits", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  if (fd < 0)
    return -1;
  if (getrandom(secret, sizeof secret, 0) == (ssize_t)sizeof secret &&
      ftruncate(fd, SHARED_SIZE) == 0 && pwrite(fd, secret, sizeof secret, 0) == (ssize_t)sizeof secret &&
      fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return fd;
  close(fd);
  return -1;
}

void limits_forget(int fd, unsigned int slot)
{
  struct limits *l;

  if (fd < 0 || slot >= LIMITS_PROCESSES)
    return;
  l = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (l == MAP_FAILED)
    return;
  for (size_t i = 0; i < SLOTS_SHARED; i++)
    if (__atomic_load_n(&l->slot[i].sessions[slot], __ATOMIC_RELAXED) != 0)
      __atomic_store_n(&l->slot[i].sessions[slot], 0, __ATOMIC_RELAXED);
  munmap(l, SHARED_SIZE);
}

/* ---- for heloise-smtpd */

int limits_join(const char *name, int fd)
{
  void *page;

  if (sscanf(name, "limits.%u", &own) != 1 || own >= LIMITS_PROCESSES) {
    close(fd);
    errno = EINVAL;
    return -1;
  }
  page = mmap(NULL, SHARED_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page == MAP_FAILED)
    return -1;
  shared = page;
  nslots = SLOTS_SHARED;
  return 0;
}

static uint64_t hash_of(const void *bytes, size_t len)
{
  uint64_t h = XXH3_64bits_withSecret(bytes, len, shared->secret, SECRET);

  return h ? h : 1;
}

static unsigned int sessions_of(const struct slot *s)
{
  unsigned int n = 0;

  for (int i = 0; i < LIMITS_PROCESSES; i++)
    n += __atomic_load_n(&s->sessions[i], __ATOMIC_RELAXED);
  return n;
}

static struct slot *find(uint64_t hash)
{
  struct slot *first = &shared->slot[hash % (nslots / WAYS) * WAYS];

  for (struct slot *s = first; s < first + WAYS; s++)
    if (__atomic_load_n(&s->hash, __ATOMIC_ACQUIRE) == hash)
      return s;
  return NULL;
}

/* the one to give up: free, else without sessions, else any; of these the longest unheard of */
static struct slot *oldest(uint64_t hash)
{
  struct slot *first = &shared->slot[hash % (nslots / WAYS) * WAYS], *best = NULL;
  uint64_t best_rank = UINT64_MAX;

  for (struct slot *s = first; s < first + WAYS; s++) {
    uint64_t rank = __atomic_load_n(&s->hash, __ATOMIC_RELAXED) == 0
                      ? 0
                      : ((uint64_t)(sessions_of(s) > 0) << 40) + 1 +
                          __atomic_load_n(&s->seen, __ATOMIC_RELAXED);
    if (rank < best_rank) {
      best = s;
      best_rank = rank;
    }
  }
  return best;
}

/* the slot of that hash, made when it is missing; NULL when another process takes the place just
 * now: then nothing is counted */
static struct slot *slot_for(uint64_t hash, uint64_t now_ms)
{
  struct slot *s = find(hash);
  uint64_t was;

  if (!s) {
    s = oldest(hash);
    was = __atomic_load_n(&s->hash, __ATOMIC_RELAXED);
    if (!__atomic_compare_exchange_n(&s->hash, &was, hash, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      return was == hash ? s : NULL;
    for (int i = 0; i < LIMIT_COUNT; i++)
      __atomic_store_n(&s->window[i], 0, __ATOMIC_RELAXED);
    for (int i = 0; i < LIMITS_PROCESSES; i++)
      __atomic_store_n(&s->sessions[i], 0, __ATOMIC_RELAXED);
  }
  __atomic_store_n(&s->seen, (uint32_t)(now_ms / 1000), __ATOMIC_RELAXED);
  return s;
}

struct ip limits_network(const struct ip *ip)
{
  return ip_mask(ip, (unsigned int)(ip->family == 4 ? settings.client_ipv4_prefix
                                                    : settings.client_ipv6_prefix));
}

static uint64_t hash_of_client(const struct ip *ip)
{
  struct ip net = limits_network(ip);
  char bytes[18] = {'c', (char)net.family};

  memcpy(bytes + 2, net.bytes, 16);
  return hash_of(bytes, sizeof bytes);
}

/* ---- rates: a bucket that leaks. The word holds when it was last looked at (ms, the low 36 bits:
 * two years) and how full it is, in 1/16 of one (28 bits: 16 million). It leaks `rate` in `per`;
 * what comes when it is fuller than `rate` is too many, and does not fill it further, so that one
 * who keeps trying is let in at the rate and not never. */

#define TIME_BITS 36
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define ONE 16

static uint64_t level(uint64_t word, uint64_t rate, uint64_t per, uint64_t now)
{
  uint64_t full = word >> TIME_BITS, since = (now - (word & TIME_MASK)) & TIME_MASK;
  uint64_t leaked;

  if (word == 0 || since > per)
    return 0;
  leaked = since * rate * ONE / per;
  return leaked < full ? full - leaked : 0;
}

static int fill(uint64_t *word, uint64_t rate, uint64_t per, uint64_t now_ms, int by)
{
  uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED), now = now_ms & TIME_MASK, full;

  do {
    full = level(was, rate, per, now);
    if (full + ONE > rate * ONE)
      return 1;
    if (by == 0)
      return 0;
  } while (!__atomic_compare_exchange_n(word, &was, (full + ONE) << TIME_BITS | now, 0,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return 0;
}

static int count(uint64_t hash, size_t which, uint64_t rate, uint64_t per, uint64_t now_ms, int by)
{
  struct slot *s = rate == 0 || per == 0 ? NULL : by ? slot_for(hash, now_ms) : find(hash);

  return s ? fill(&s->window[which], rate, per, now_ms, by) : 0;
}

int limits_count(const struct ip *ip, enum limit l, uint64_t rate, uint64_t per, uint64_t now_ms)
{
  return count(hash_of_client(ip), l, rate, per, now_ms, 1);
}

int limits_is_over(const struct ip *ip, enum limit l, uint64_t rate, uint64_t per, uint64_t now_ms)
{
  return count(hash_of_client(ip), l, rate, per, now_ms, 0);
}

int limits_count_text(const char *text, size_t len, uint64_t rate, uint64_t per, uint64_t now_ms)
{
  return count(hash_of(text, len), 0, rate, per, now_ms, 1);
}

/* ---- sessions */

int limits_enter(const struct ip *ip, uint64_t max, uint64_t now_ms, uint64_t *ticket)
{
  struct slot *s;

  *ticket = hash_of_client(ip);
  s = slot_for(*ticket, now_ms);

  if (!s)
    return 0;
  if (__atomic_load_n(&s->sessions[own], __ATOMIC_RELAXED) < UINT16_MAX)
    __atomic_fetch_add(&s->sessions[own], 1, __ATOMIC_RELAXED);
  return max > 0 && sessions_of(s) > max;
}

void limits_leave(uint64_t ticket)
{
  struct slot *s = ticket ? find(ticket) : NULL;

  /* its place may have been given to another meanwhile */
  if (s && __atomic_load_n(&s->sessions[own], __ATOMIC_RELAXED) > 0)
    __atomic_fetch_sub(&s->sessions[own], 1, __ATOMIC_RELAXED);
}
