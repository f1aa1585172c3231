// SPDX-License-Identifier: GPL-2.0
/*
 * The module, /dev/memredirect, and control descriptors.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "driver.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct workqueue_struct *memredirect_queue;

#ifdef MEMREDIRECT_BROKEN
int memredirect_broken;
module_param_named(broken, memredirect_broken, int, 0600);
MODULE_PARM_DESC(broken, "the guarantee that is left out, for tests; 0: none");
#endif

static int control_open(struct inode *inode, struct file *file)
{
	struct control *control = kzalloc(sizeof(*control), GFP_KERNEL_ACCOUNT);

	if (!control)
		return -ENOMEM;
	mutex_init(&control->lock);
	xa_init_flags(&control->backings, XA_FLAGS_ALLOC1);
	INIT_DELAYED_WORK(&control->deadline, control_deadline);
	file->private_data = control;
	return stream_open(inode, file);
}

/*
 * A process lets go of a descriptor. When it is the map's owner, and ends or executes another program, that is the end, whoever
 * has inherited the descriptor; owners are told apart by their tables of descriptors, which threads share, and which is
 * compared and never looked into.
 */
static int control_flush(struct file *file, fl_owner_t owner)
{
	struct control *control = file->private_data;
	const struct map *map = smp_load_acquire(&control->map);

	if (map && READ_ONCE(map->owner) == owner && (current->flags & PF_EXITING || current->in_execve))
		control_let_go(control);
	return 0;
}

static __poll_t control_poll(struct file *file, poll_table *table)
{
	struct control *control = file->private_data;
	struct map *map = smp_load_acquire(&control->map);

	if (!map)
		return EPOLLERR;
	poll_wait(file, &map->poll, table);
	return map_poll(map, READ_ONCE(control->seen)) | (READ_ONCE(map->waiter_count) ? EPOLLPRI : 0);
}

static int control_release(struct inode *inode, struct file *file)
{
	struct control *control = file->private_data;
	struct backing *backing;
	unsigned long id;

	control_let_go(control);
	cancel_delayed_work_sync(&control->deadline);
	xa_for_each(&control->backings, id, backing) backing_put(backing);
	xa_destroy(&control->backings);
	if (control->map)
		map_put(control->map);
	mutex_destroy(&control->lock);
	kfree(control);
	return 0;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.flush = control_flush,
	.poll = control_poll,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.release = control_release,
	.llseek = noop_llseek,
};

static struct miscdevice control_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "memredirect",
	.fops = &control_fops,
	.mode = 0600,
};

static int __init memredirect_init(void)
{
	int result;

	memredirect_queue = alloc_workqueue("memredirect", WQ_UNBOUND, 0);
	if (!memredirect_queue)
		return -ENOMEM;
	result = misc_register(&control_device);
	if (result)
		destroy_workqueue(memredirect_queue);
	return result;
}

/* No descriptor is left; what is put off, is done here. */
static void __exit memredirect_exit(void)
{
	misc_deregister(&control_device);
	destroy_workqueue(memredirect_queue);
}

module_init(memredirect_init);
module_exit(memredirect_exit);

MODULE_DESCRIPTION("Mappings whose memory can be replaced while processes use them");
MODULE_AUTHOR("The memredirect project");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
