"""pymesos runs one task on the master HOST:PORT: 0 once it is FINISHED and the framework torn down."""
import sys
import threading
import uuid

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler


class OneTask(Scheduler):
    def __init__(self):
        self.task = None
        self.states = []
        self.over = threading.Event()

    def registered(self, driver, framework_id, master_info):
        print("registered", framework_id.value, flush=True)

    def resourceOffers(self, driver, offers):
        for offer in offers:
            if self.task:
                driver.declineOffer(offer.id, {"refuse_seconds": 60})
                continue
            task = Dict()
            self.task = str(uuid.uuid4())
            task.task_id.value = self.task
            task.agent_id.value = offer.agent_id.value
            task.name = "one task"
            task.command.value = "echo from pymesos"
            task.resources = [
                dict(name="cpus", type="SCALAR", scalar={"value": 0.1}),
                dict(name="mem", type="SCALAR", scalar={"value": 32}),
            ]
            driver.launchTasks(offer.id, [task])

    def statusUpdate(self, driver, update):
        print(update.state, update.get("message", ""), flush=True)
        self.states.append(update.state)
        if update.state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"):
            self.over.set()

    def error(self, driver, message):
        print("error", message, flush=True)
        self.over.set()


framework = Dict(user="root", name="pymesos", hostname="localhost")
scheduler = OneTask()
driver = MesosSchedulerDriver(scheduler, framework, sys.argv[1], use_addict=True)
driver.start()
over = scheduler.over.wait(60)
driver.stop()
driver.join()
sys.exit(0 if over and scheduler.states[-1:] == ["TASK_FINISHED"] else 1)
