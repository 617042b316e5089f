/* names.h - the names of all messages are read: at the start, and when news was missed
 *
 * A few directories a turn, so that new mail goes on from the first moment, however many wait.
 * What is found sleeps (waiting.h) until everything is read, the journal too: what that says of a
 * message comes first. */
#ifndef QUEUE_NAMES_H
#define QUEUE_NAMES_H

#include <stdint.h>

struct names_keeper {
  /* all is read that could be; what was found sleeps */
  void (*read)(void);
  /* a message that was found is put into the schedule */
  void (*wake)(uint32_t handle);
  /* nothing sleeps any more */
  void (*awake)(void);
};

void names_open(int queue_fd, const struct names_keeper *k);
#define NAMES_ALL UINT32_MAX
/* reads those states whose bits (1 << enum store_state) are set, from the beginning. What is known
 * already stays as it is; what cannot be read is read again later. */
void names_read(uint32_t states);
/* a few directories; whether more is to do */
int names_turn(void);

#endif
