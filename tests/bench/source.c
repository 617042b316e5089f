/* source.c - sends messages by SMTP as fast as they are taken, for measuring: some sessions at
 * once, each with one message after the other, in TLS when asked to (the handshakes are not
 * counted). Prints messages a second. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS_MAX 500

static struct sockaddr_in to;
static const char *rcpt;
static char content[64 * 1024];
static unsigned long each;
static SSL_CTX *context;       /* NULL: in clear */
static pthread_barrier_t ready; /* all sessions are open */
static struct timespec began;

struct stream {
  int sock;
  SSL *ssl;
  char buf[8192];
  size_t len;
};

static _Noreturn void die(const char *what)
{
  perror(what);
  exit(1);
}

static void say(const struct stream *s, const char *text)
{
  size_t len = strlen(text);

  if ((s->ssl ? SSL_write(s->ssl, text, (int)len) : (int)write(s->sock, text, len)) != (int)len)
    die("write");
}

/* reads replies, each of which must begin with its digit in `want` */
static void hear(struct stream *s, const char *want)
{
  while (*want) {
    char *end = memchr(s->buf, '\n', s->len);
    int got;
    if (end) {
      int is_last = s->buf[3] == ' ';
      if (s->buf[0] != *want) {
        fprintf(stderr, "source: %.*s\n", (int)(end - s->buf), s->buf);
        exit(1);
      }
      s->len -= (size_t)(end + 1 - s->buf);
      memmove(s->buf, end + 1, s->len);
      want += is_last;
      continue;
    }
    got = s->ssl ? SSL_read(s->ssl, s->buf + s->len, (int)(sizeof s->buf - s->len))
                 : (int)read(s->sock, s->buf + s->len, sizeof s->buf - s->len);
    if (got <= 0)
      die("read");
    s->len += (size_t)got;
  }
}

static void encrypt(struct stream *s)
{
  say(s, "STARTTLS\r\n");
  hear(s, "2");
  s->ssl = SSL_new(context);
  if (!s->ssl || SSL_set_fd(s->ssl, s->sock) != 1 || SSL_connect(s->ssl) != 1)
    die("TLS");
  say(s, "EHLO client.example\r\n");
  hear(s, "2");
}

static void *session(void *arg)
{
  struct stream s = {.sock = socket(AF_INET, SOCK_STREAM, 0)};
  int one = 1;
  char envelope[1000];

  if (connect(s.sock, (struct sockaddr *)&to, sizeof to) != 0)
    die("connect");
  setsockopt(s.sock, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  hear(&s, "2");
  say(&s, "EHLO client.example\r\n");
  hear(&s, "2");
  if (context)
    encrypt(&s);
  snprintf(envelope, sizeof envelope, "MAIL FROM:<sender@client.example>\r\nRCPT TO:<%s>\r\nDATA\r\n", rcpt);
  if (context && pthread_barrier_wait(&ready) == PTHREAD_BARRIER_SERIAL_THREAD)
    clock_gettime(CLOCK_MONOTONIC, &began);
  for (unsigned long i = 0; i < each; i++) {
    say(&s, envelope);
    hear(&s, "223");
    say(&s, content);
    hear(&s, "2");
  }
  say(&s, "QUIT\r\n");
  hear(&s, "2");
  close(s.sock);
  return arg;
}

static void compose(size_t size)
{
  size_t n = (size_t)snprintf(content, sizeof content, "Subject: one of many\r\n\r\n");

  while (n + 66 < size && n + 70 < sizeof content)
    n += (size_t)snprintf(content + n, sizeof content - n, "%064d\r\n", 0);
  snprintf(content + n, sizeof content - n, ".\r\n");
}

int main(int argc, char **argv)
{
  pthread_t thread[SESSIONS_MAX];
  struct timespec ended;
  unsigned long sessions;

  if (argc != 7 && argc != 8) {
    fputs("usage: source ADDRESS PORT SESSIONS MESSAGES SIZE RECIPIENT [tls]\n", stderr);
    return 64;
  }
  to.sin_family = AF_INET;
  to.sin_port = htons((uint16_t)atoi(argv[2]));
  inet_pton(AF_INET, argv[1], &to.sin_addr);
  sessions = strtoul(argv[3], NULL, 10);
  sessions = sessions < 1 ? 1 : sessions > SESSIONS_MAX ? SESSIONS_MAX : sessions;
  each = strtoul(argv[4], NULL, 10) / sessions;
  compose(strtoul(argv[5], NULL, 10));
  rcpt = argv[6];
  if (argc == 8)
    context = SSL_CTX_new(TLS_client_method());
  pthread_barrier_init(&ready, NULL, (unsigned int)sessions);
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (unsigned long i = 0; i < sessions; i++)
    if (pthread_create(&thread[i], NULL, session, NULL) != 0)
      die("thread");
  for (unsigned long i = 0; i < sessions; i++)
    pthread_join(thread[i], NULL);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  printf("%.0f\n", (double)(each * sessions) /
                     ((double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9));
  return 0;
}
