;;; fimd-test-daemon.el --- A daemon that ends, fails or is not there  -*- lexical-binding: t -*-

;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; What a user sees when the daemon is killed, cannot be found or is something else.

;;; Code:

(require 'fimd-test-helper)

(defun fimd-test-kill ()
  "Kill our daemon as the system would; wait until that is noticed."
  (let ((conn fimd-daemon-connection))
    (signal-process (jsonrpc--process conn) 'KILL)
    (fimd-test-until "the daemon's end" (not (eq conn fimd-daemon-connection)))))

(defun fimd-test-count (text mark)
  "How often *Messages* has TEXT after MARK."
  (let ((said (substring (fimd-test-messages) mark)))
    (- (length (split-string said (regexp-quote text))) 1)))

(ert-deftest fimd-30-killed-during-a-completion ()
  (fimd-daemon-stop)
  (let ((mark (length (fimd-test-messages))))
    (fimd-test-with "d/kill.c" fimd-test-c
      (let ((before (buffer-substring-no-properties (point-min) (point))))
        (execute-kbd-macro " ")
        (fimd-test-until "a request" fimd--pending)
        ;; It cannot answer while it is stopped, so the request is under way when it dies.
        (fimd-test-kill)
        (fimd-test-until "a ghost from the next daemon" (fimd-test-ghost))
        ;; That it is ready may be said later than its first answer.
        (fimd-test-until "the next daemon" (eq fimd-daemon-state 'ready))
        (should (equal (concat before " ") (buffer-substring-no-properties (point-min) (point))))
        (let ((ghost (fimd-test-settle)))
          (fimd-test-keys "TAB")
          (should (equal (buffer-substring-no-properties (point-min) (point))
                         (concat before " " ghost)))))
      (should (= 1 (fimd-test-count "fimd: " mark)))
      (should (= 1 (fimd-test-count "ended unexpectedly" mark)))
      (should (= 0 (fimd-test-count "rror" mark)))
      (should (= 0 (fimd-test-count "jsonrpc" mark))))))

(ert-deftest fimd-31-killed-while-typing ()
  (fimd-daemon-stop)
  (fimd-test-with "d/typing.c" fimd-test-c
    (let ((mark (length (fimd-test-messages)))
          (before (buffer-substring-no-properties (point-min) (point)))
          (text " { r->count = 0; return false; }"))
      (seq-do-indexed
       (lambda (char i)
         (when (= i 9)
           (signal-process (jsonrpc--process fimd-daemon-connection) 'KILL)
           ;; Keys are typed before and while Emacs notices.
           (execute-kbd-macro "ab")
           (delete-char -2))
         (execute-kbd-macro (vector char))
         (accept-process-output nil (/ (mod i 3) 100.0)))
       text)
      (fimd-test-until "the next daemon" (and fimd-document (eq fimd-daemon-state 'ready)))
      (fimd-test-settle)
      (should (equal (buffer-substring-no-properties (point-min) (point)) (concat before text)))
      (should (= 1 (fimd-test-count "ended unexpectedly" mark)))
      (should (= 0 (fimd-test-count "rror" mark)))
      (fimd-test-type "\n")
      (fimd-test-settle))))

(ert-deftest fimd-32-killed-too-often ()
  (fimd-daemon-stop)
  (let ((fimd-restart-limit 2)
        (mark (length (fimd-test-messages))))
    (fimd-test-with "d/often.c" fimd-test-c
      (dotimes (_ 3)
        (fimd-test-until "a daemon" (fimd-daemon-running-p))
        (fimd-test-kill))
      (should (eq fimd-daemon-state 'failed))
      (should-not fimd-daemon-connection)
      (should (string-match-p "fimd:failed" (fimd--lighter)))
      (should (= 2 (fimd-test-count "started again" mark)))
      (should (= 1 (fimd-test-count "M-x fimd-restart" mark)))
      (fimd-test-type " x")
      (fimd-test-type "\n")
      (accept-process-output nil 0.1)
      (should-not fimd-daemon-connection)
      (should (= 1 (fimd-test-count "M-x fimd-restart" mark)))
      (should-not (fimd-test-ghost))
      (fimd-restart)
      (fimd-test-until "a ready daemon" (eq fimd-daemon-state 'ready))
      (fimd-test-until "the document" fimd-document))))

(ert-deftest fimd-33-no-program ()
  (fimd-daemon-stop)
  (let ((fimd-program "/nowhere/fimd")
        (mark (length (fimd-test-messages))))
    (save-window-excursion
      (dolist (name '("d/none.c" "d/none2.c"))
        (fimd-test-open name fimd-test-c)
        (fimd-mode 1)
        (fimd-test-type " return")
        (accept-process-output nil 0.1))
      (should (string-suffix-p "return" (buffer-substring (pos-bol) (point))))
      (should (eq fimd-daemon-state 'failed))
      (should (= 1 (fimd-test-count "there is no program" mark)))
      (should (= 0 (fimd-test-count "rror" mark)))
      (dolist (buffer (seq-filter (lambda (buffer) (buffer-local-value 'fimd-mode buffer))
                                  (buffer-list)))
        (with-current-buffer buffer
          (set-buffer-modified-p nil)
          (kill-buffer)))
      (fimd-daemon-stop))))

(ert-deftest fimd-34-wrong-program ()
  "Something that only ends is started a few times, and not for ever."
  (fimd-daemon-stop)
  (let ((fimd-program "false")
        (fimd-restart-limit 2)
        (mark (length (fimd-test-messages))))
    (save-window-excursion
      (fimd-test-open "d/wrong.c" fimd-test-c)
      (fimd-mode 1)
      (fimd-test-until "giving up" (eq fimd-daemon-state 'failed))
      (should (= 1 (fimd-test-count "M-x fimd-restart" mark)))
      (set-buffer-modified-p nil)
      (kill-buffer)
      (fimd-daemon-stop))))

(ert-deftest fimd-36-ended-at-once ()
  "One that ends before anything looks after it is missed all the same."
  (fimd-daemon-stop)
  (let* ((fimd-program "false")
         (fimd-restart-limit 2)
         (mark (length (fimd-test-messages)))
         (wait (lambda (process)
                 (fimd-test-until "its end" (not (process-live-p process)))
                 process)))
    (save-window-excursion
      (fimd-test-open "d/wrong.c" fimd-test-c)
      (advice-add 'fimd-daemon--process :filter-return wait)
      (unwind-protect
          (progn
            (fimd-mode 1)
            (fimd-test-until "giving up" (eq fimd-daemon-state 'failed)))
        (advice-remove 'fimd-daemon--process wait))
      (should (= 2 (fimd-test-count "started again" mark)))
      (should (= 1 (fimd-test-count "M-x fimd-restart" mark)))
      (set-buffer-modified-p nil)
      (kill-buffer)
      (fimd-daemon-stop))))

(ert-deftest fimd-35-settings ()
  "Settings and options of the command line come to the daemon."
  (fimd-daemon-stop)
  (let ((fimd-settings '((maxLines . 3) (midLine . t) (comments . nil)
                         (languages . ((* . t) (markdown . nil)))))
        (fimd-arguments '("--threads" "1")))
    (fimd-test-with "d/settings.c" fimd-test-c
      (fimd-test-until "a document" fimd-document)
      (let ((settings (plist-get (fimd-test-ask :fimd/status nil) :settings)))
        (should (= 3 (plist-get settings :maxLines)))
        (should (eq t (plist-get settings :midLine)))
        (should (eq t (plist-get settings :streaming)))
        (should (eq :json-false (plist-get settings :comments)))
        (should (eq :json-false (plist-get (plist-get settings :languages) :markdown))))
      (setopt fimd-settings '((maxLines . 5)))
      (should (= 5 (plist-get (plist-get (fimd-test-ask :fimd/status nil) :settings) :maxLines)))))
  (setopt fimd-settings nil)
  (fimd-daemon-stop))

(provide 'fimd-test-daemon)
;;; fimd-test-daemon.el ends here
