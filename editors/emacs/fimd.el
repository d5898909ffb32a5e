;;; fimd.el --- Ghost text from a model on your own machine  -*- lexical-binding: t -*-

;; Copyright (C) 2026 The fimd authors

;; Author: The fimd authors
;; Version: 0.1.0
;; Package-Requires: ((emacs "30.1"))
;; Keywords: convenience, tools, languages
;; SPDX-License-Identifier: Apache-2.0

;;; Commentary:

;; Shows what the fimd daemon would write at point, as ghost text.
;;
;;   (add-hook 'prog-mode-hook #'fimd-mode)       ; or M-x global-fimd-mode
;;
;; While ghost text shows, TAB takes it, M-f its next word, C-e its line, M-n and M-p show others,
;; and C-g hides it; at any other time these keys are what they were.  Other language servers of
;; the buffer are not touched.  To have fimd in the completion menu, too, where no other server
;; is known:
;;
;;   (fimd-eglot-register)
;;
;; M-x customize-group fimd has the options, README.md the whole story.

;;; Code:

(require 'cl-lib)
(require 'track-changes)
(require 'fimd-daemon)
(require 'fimd-document)
(require 'fimd-ghost)
(require 'fimd-menu)
(require 'fimd-watch)

(declare-function fimd-eglot-current "fimd-eglot")
(declare-function fimd-eglot-encoding "fimd-eglot")
(declare-function fimd-eglot-identifier "fimd-eglot")
(declare-function fimd-eglot-sync "fimd-eglot")
(defvar eglot-server-programs)
(defvar fimd-mode)

(defgroup fimd nil
  "Ghost text from a model on your own machine."
  :group 'convenience
  :prefix "fimd-")

(defcustom fimd-idle-delay 0
  "Seconds to wait after a key before ghost text is asked for.
At 0 the daemon itself waits, as long as another key is likelier than its
answer; its setting `debounce' is the most."
  :type 'number)

(defcustom fimd-automatic t
  "Whether ghost text comes by itself.
If nil, it comes only with \\[fimd-complete]."
  :type 'boolean)

(defcustom fimd-ignored-commands
  '(undo undo-only undo-redo kill-region kill-line kill-whole-line kill-word backward-kill-word
    revert-buffer revert-buffer-quick fill-paragraph query-replace query-replace-regexp)
  "Commands after whose changes no ghost text is asked for."
  :type '(repeat function))

(defcustom fimd-inhibit-functions '(fimd-menu-p fimd-not-typing-p)
  "Functions without arguments; where one returns non-nil no ghost text is shown."
  :type 'hook)

(defcustom fimd-in-menu nil
  "Whether what fimd would write is in the completion menu, too.
It comes first there, before what other sources offer; where eglot's server is
fimd it is there anyway.  Takes effect when `fimd-mode' is turned on."
  :type 'boolean)

(defvar-keymap fimd-active-map
  :doc "Keys while ghost text shows, before those of every other minor mode."
  "TAB" #'fimd-accept
  "<tab>" #'fimd-accept
  "<remap> <forward-word>" #'fimd-accept-word
  "<remap> <right-word>" #'fimd-accept-word
  "<remap> <move-end-of-line>" #'fimd-accept-line
  "M-n" #'fimd-next
  "M-p" #'fimd-previous
  "<remap> <keyboard-quit>" #'fimd-dismiss)

(defvar-keymap fimd-mode-map
  :doc "Keys of `fimd-mode'; none is bound, `fimd-complete' may be.")

(defvar fimd--keymaps (list (cons 'fimd-ghost-shown fimd-active-map))
  "For `emulation-mode-map-alists'.")

(cl-defstruct (fimd--request (:constructor fimd--request-new) (:copier nil))
  connection id tick point step start)

(defvar-local fimd--pending nil "The request under way, or nil.")
(defvar-local fimd--latest nil "The request whose answer was the last one.")
(defvar-local fimd--timer nil "Runs when it is time to ask.")
(defvar-local fimd--wanted nil "Whether to ask as soon as the daemon can answer.")
(defvar-local fimd--tick nil "The buffer's modification count after the last command.")
(defvar-local fimd--point nil "Point after the last command.")
(defvar-local fimd--why nil "Why the last answer showed nothing: (SHORT . LONG), or nil.")
(defvar-local fimd--latency nil "Milliseconds between the last request and its ghost text.")

;;;; When not

(defun fimd-menu-p ()
  "Whether a menu of completions is open, which has the keys."
  (or (bound-and-true-p completion-in-region-mode)
      (bound-and-true-p company-candidates)
      (bound-and-true-p completion-preview-active-mode)))

(defun fimd-not-typing-p ()
  "Whether keys do not type here now."
  (or buffer-read-only (use-region-p) (minibufferp) isearch-mode
      (memq (bound-and-true-p evil-state) '(normal visual motion operator))))

(defun fimd--inhibited-p ()
  "Whether no ghost text is to be shown now."
  (run-hook-with-args-until-success 'fimd-inhibit-functions))

;;;; Asking

(defun fimd--unsettled-p ()
  "Whether the buffer is in the middle of a change, as with an input method."
  (if (or fimd-document (and (featurep 'fimd-eglot) (fimd-eglot-current)))
      (track-changes-inconsistent-state-p)
    ;; Without a tracker that function says yes.
    inhibit-modification-hooks))

(defun fimd--connection ()
  "Bring the buffer up to date on its daemon.
Return (CONNECTION IDENTIFIER ENCODING), or nil while no daemon can answer.
The daemon is eglot's, where that is fimd, and else our own."
  (let ((server (and (featurep 'eglot)
                     (require 'fimd-eglot)
                     (fimd-eglot-current))))
    (cond
     (server
      (fimd-document-close)
      (fimd-eglot-sync)
      (list server (fimd-eglot-identifier) (fimd-eglot-encoding server)))
     ((fimd-document-open)
      (list fimd-daemon-connection (fimd-document-identifier)
            (fimd-document-encoding (fimd-connection-capabilities fimd-daemon-connection))))
     (t
      (fimd-daemon-start (fimd-document-root))
      nil))))

(defun fimd--cancel ()
  "Take back the request under way, if there is one."
  (when fimd--timer
    (cancel-timer fimd--timer)
    (setq fimd--timer nil))
  (setq fimd--wanted nil)
  (when fimd--pending
    (when-let* ((id (fimd--request-id fimd--pending)))
      (fimd-daemon-notify (fimd--request-connection fimd--pending)
                          :$/cancelRequest (list :id id)))
    (setq fimd--pending nil)
    (force-mode-line-update)))

(defun fimd--current-p (request)
  "Whether the buffer and point are as they were at REQUEST."
  (and (eql (fimd--request-tick request) (buffer-chars-modified-tick))
       (eql (fimd--request-point request) (point))))

(defun fimd--sent-id (conn)
  "The id of the request that was sent last on CONN, nil where that is not known."
  (and (or (object-of-class-p conn 'fimd-connection)
           (and (featurep 'fimd-eglot) (object-of-class-p conn 'fimd-eglot-server)))
       (fimd-connection-sent conn)))

(defun fimd--ask (kind &optional step)
  "Ask for ghost text at point: KIND 1 is by hand, 2 by itself.
STEP, where given, is how many texts further to go in the answer."
  (pcase (fimd--connection)
    (`(,conn ,identifier ,encoding)
     (fimd--cancel)
     (let ((request (fimd--request-new :connection conn :point (point) :step step
                                       :tick (buffer-chars-modified-tick)
                                       :start (current-time)))
           (buffer (current-buffer)))
       (setq fimd--pending request)
       (if (fimd-daemon-request
            conn :textDocument/inlineCompletion
            (list :textDocument identifier
                  :position (fimd-document-position (point) encoding)
                  :context (list :triggerKind kind))
            :success-fn (lambda (result) (fimd--on-answer buffer request result))
            :error-fn (lambda (_) (fimd--on-failure buffer request))
            :timeout 60
            :timeout-fn (lambda () (fimd--on-failure buffer request)))
           (setf (fimd--request-id request) (fimd--sent-id conn))
         (setq fimd--pending nil
               fimd--wanted kind))
       (force-mode-line-update)))
    (_ (setq fimd--wanted kind))))

(defun fimd--ask-later (&optional delay)
  "Ask for ghost text after DELAY seconds, when Emacs has nothing else to do."
  (when fimd--timer
    (cancel-timer fimd--timer))
  (setq fimd--timer (run-with-timer (or delay fimd-idle-delay) nil
                                    #'fimd--on-time (current-buffer))))

(defun fimd--on-time (buffer)
  "Ask for ghost text in BUFFER, if it is still to be."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (setq fimd--timer nil)
      (when (and fimd-mode
                 (eq buffer (window-buffer (selected-window)))
                 (not (fimd--inhibited-p))
                 (not (fimd--unsettled-p)))
        (fimd--ask 2)))))

;;;; Answers

(defun fimd--on-failure (buffer request)
  "Forget REQUEST of BUFFER, which will not be answered."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (when (eq request fimd--pending)
        (setq fimd--pending nil)
        ;; With its daemon gone it is asked again of the next one.
        (unless (jsonrpc-running-p (fimd--request-connection request))
          (setq fimd--wanted 2))
        (force-mode-line-update)))))

(defun fimd--on-answer (buffer request result)
  "Show in BUFFER the RESULT of REQUEST, unless it came too late."
  (when (buffer-live-p buffer)
    (with-current-buffer buffer
      (when (eq request fimd--pending)
        (setq fimd--pending nil)
        (force-mode-line-update)
        (when (and fimd-mode (fimd--current-p request) (not (fimd--inhibited-p)))
          (setq fimd--latest request)
          (fimd--show request (plist-get result :items)
                      (not (eq (plist-get result :more) t))))))))

(defun fimd--on-update (conn id items final)
  "Show the ITEMS that CONN sends after its answer to the request ID.
FINAL is whether they are the last."
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when (and fimd-mode fimd-ghost fimd--latest
                 (eq conn (fimd--request-connection fimd--latest))
                 (eql id (fimd-ghost-id fimd-ghost))
                 (fimd--current-p fimd--latest))
        (fimd--show fimd--latest items final)))))

(defun fimd--encoding (conn)
  "The position encoding of CONN."
  (if (object-of-class-p conn 'fimd-connection)
      (fimd-document-encoding (fimd-connection-capabilities conn))
    (fimd-eglot-encoding conn)))

(defun fimd--show (request items final)
  "Show the ITEMS that answer REQUEST; FINAL is whether no more are to come."
  (let* ((items (append items nil))
         (encoding (fimd--encoding (fimd--request-connection request)))
         (range (plist-get (car items) :range))
         (ghost (and range
                     (fimd-ghost-make
                      (mapcar (lambda (item) (plist-get item :insertText)) items)
                      (fimd-document-point (plist-get range :start) encoding)
                      (fimd-document-point (plist-get range :end) encoding)
                      (fimd--request-id request) final)))
         (step (fimd--request-step request)))
    (setq fimd--why nil)
    (cond
     ((not (and ghost (fimd-ghost-show ghost)))
      (fimd-ghost-hide)
      (fimd--ask-why))
     (t
      (setq fimd--latency (* 1000 (float-time (time-since (fimd--request-start request)))))
      (when (and step (cdr items) (eq ghost fimd-ghost))
        (setf (fimd--request-step request) nil)
        (fimd-ghost-step step))))))

(defun fimd--ask-why ()
  "Ask why nothing is shown, for the mode line, when there is time."
  (let ((buffer (current-buffer))
        (tick (buffer-chars-modified-tick)))
    (run-with-idle-timer
     0.3 nil
     (lambda ()
       (when (and (buffer-live-p buffer) (eql tick (buffer-chars-modified-tick buffer)))
         (with-current-buffer buffer
           (fimd--get-why (lambda (why)
                            (setq fimd--why (fimd--why-words why))
                            (force-mode-line-update)))))))))

(defun fimd--request (method make-params done)
  "Ask the buffer's daemon METHOD and call DONE in the buffer with the result.
MAKE-PARAMS is called with the document's identifier.
Return nil where there is no daemon."
  (let ((buffer (current-buffer)))
    (pcase (fimd--connection)
      (`(,conn ,identifier ,_)
       (fimd-daemon-request
        conn method (funcall make-params identifier)
        :success-fn (lambda (result)
                      (when (buffer-live-p buffer)
                        (with-current-buffer buffer (funcall done result))))
        :error-fn #'ignore :timeout-fn #'ignore)))))

(defun fimd--get-why (done)
  "Call DONE with the daemon's account of the buffer's last request."
  (fimd--request :fimd/why (lambda (identifier) (list :uri (plist-get identifier :uri))) done))

(defun fimd--why-words (why)
  "Return the words (SHORT . LONG) of the daemon's WHY, nil if it gives no reason."
  (when-let* ((reason (plist-get why :reason)))
    (let ((quiet (plist-get why :quiet)))
      (cons (if (member quiet '(nil "" "no")) "quiet" quiet) reason))))

;;;; Watching the buffer

(defun fimd--sync ()
  "Send what has changed, key by key: the daemon learns from it how you type.
It also tells by that what was typed from what was accepted."
  (unless (fimd--unsettled-p)
    (cond
     (fimd-document (fimd-document-sync))
     ((and (featurep 'fimd-eglot) (fimd-eglot-current)) (fimd-eglot-sync)))))

(defun fimd--post-command ()
  "Judge after a command whether the ghost text still fits, and ask for another."
  (let ((changed (not (eql fimd--tick (buffer-chars-modified-tick))))
        (moved (not (eql fimd--point (point)))))
    (setq fimd--tick (buffer-chars-modified-tick)
          fimd--point (point))
    (when changed
      (fimd--sync))
    (cond
     ((and fimd-ghost-shown (fimd--inhibited-p)) (fimd--drop))
     ((not (or changed moved)))
     ((and changed fimd-ghost (not (memq this-command fimd-ignored-commands)) (fimd-ghost-update))
      ;; The daemon sees the edit as typing on; the rest of an unfinished text is asked for.
      (if (fimd-ghost-final fimd-ghost)
          (fimd--cancel)
        (fimd--ask-later)))
     ((and changed fimd-automatic (not (memq this-command fimd-ignored-commands)))
      (fimd-ghost-hide)
      ;; What is under way is not cancelled before the daemon knows the edit: it may go on.
      (fimd--ask-later))
     (t (fimd--drop)))))

(defun fimd--drop ()
  "Hide the ghost text and take the request back."
  (fimd-ghost-hide)
  (fimd--cancel))

(defun fimd--after-change (beg end _length)
  "Hide the ghost text where the change from BEG to END is elsewhere."
  (when fimd-ghost-shown
    (fimd-ghost-changed beg end)))

(defun fimd--window-changed (window)
  "Hide the ghost text when WINDOW is not the selected one any more."
  (unless (eq window (selected-window))
    (with-current-buffer (window-buffer window)
      (fimd--drop))))

(defun fimd--on-ready ()
  "Open the buffers of `fimd-mode' on the daemon, and ask where text is waited for."
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when (and fimd-mode (not (and (featurep 'fimd-eglot) (fimd-eglot-current))))
        (fimd-document-open)
        (when fimd--wanted
          (fimd--ask-later 0))))))

(defun fimd--on-gone ()
  "Forget all that the daemon knew."
  (dolist (buffer (buffer-list))
    (with-current-buffer buffer
      (when (and fimd-mode fimd-document)
        (fimd-document-forget)
        (fimd-ghost-hide)
        (when fimd--pending
          (setq fimd--pending nil
                fimd--wanted 2))))))

(defun fimd--eglot-managed ()
  "Move to or from the daemon of eglot."
  (when fimd-mode
    (fimd--drop)
    (fimd--start)))

(defun fimd--start ()
  "Let the daemon know the buffer, soon; eglot has the first word."
  (run-with-timer 0 nil (lambda (buffer)
                          (when (buffer-live-p buffer)
                            (with-current-buffer buffer
                              (when fimd-mode (fimd--connection)))))
                  (current-buffer)))

;;;; Commands

(defun fimd--accept (measure)
  "Take as much of the ghost text according to the function MEASURE."
  (unless fimd-ghost-shown
    (user-error "There is no ghost text"))
  (barf-if-buffer-read-only)
  (fimd-ghost-take (funcall measure fimd-ghost-shown)))

(defun fimd-accept ()
  "Take the ghost text."
  (interactive)
  (fimd--accept #'length))

(defun fimd-accept-word ()
  "Take the next word of the ghost text."
  (interactive)
  (fimd--accept #'fimd-ghost-word))

(defun fimd-accept-line ()
  "Take the ghost text up to the end of a line."
  (interactive)
  (fimd--accept #'fimd-ghost-line))

(defun fimd-next (&optional n)
  "Show the next text, or the Nth; ask for others where there is but one."
  (interactive "p")
  (unless fimd-ghost-shown
    (user-error "There is no ghost text"))
  (if (cdr (fimd-ghost-texts fimd-ghost))
      (fimd-ghost-step (or n 1))
    (fimd--ask 1 (or n 1))))

(defun fimd-previous (&optional n)
  "Show the previous text, or the Nth before."
  (interactive "p")
  (fimd-next (- (or n 1))))

(defun fimd-dismiss ()
  "Hide the ghost text."
  (interactive)
  (fimd--drop))

(defun fimd-complete ()
  "Ask for ghost text here, by hand: also where it would not come by itself."
  (interactive)
  (unless fimd-mode
    (fimd-mode))
  (fimd--ask 1))

(defun fimd-why ()
  "Tell why there was or was no ghost text."
  (interactive)
  (unless
      (fimd--get-why
       (lambda (why)
         (message
          "%s"
          (cond ((null why) "fimd: nothing was asked for in this buffer")
                ((plist-get why :reason)
                 (format "fimd: nothing is shown: %s" (plist-get why :reason)))
                (t (format "fimd: %s bytes from %s, ended by %s; %s prompt tokens, %.0f ms"
                           (plist-get why :bytes) (plist-get why :source)
                           (plist-get why :stop) (plist-get why :promptTokens)
                           (plist-get (plist-get why :ms) :answer)))))))
    (message "fimd: the daemon is %s%s" fimd-daemon-state
             (if fimd-daemon-detail (format " (%s)" fimd-daemon-detail) ""))))

(defun fimd--write-status (status)
  "Show STATUS in a window."
  (let* ((model (plist-get status :model))
         (counts (plist-get status :statistics))
         (shown (plist-get counts :inlineCompletion))
         (answer (plist-get counts :answerMs))
         (taken (plist-get counts :acceptance))
         (latency fimd--latency))
    (with-help-window "*fimd status*"
      (princ (format "fimd %s, model %s (%s)\n\n" (plist-get status :version)
                     (or (plist-get model :name) "-")
                     (or (plist-get model :backend) (plist-get model :state))))
      (when (plist-get model :error)
        (princ (format "No model:    %s\n" (plist-get model :error))))
      (princ (format "Answers:     %s shown, %s empty, %s superseded, %s cancelled, %s failed\n"
                     (plist-get shown :shown) (plist-get shown :empty)
                     (plist-get shown :superseded) (plist-get shown :cancelled)
                     (plist-get shown :failed)))
      (princ (format "Daemon:      %.0f ms at the median, %.0f ms at the 90th percentile\n"
                     (plist-get answer :p50) (plist-get answer :p90)))
      (when latency
        (princ (format "Last here:   %.0f ms from the request to the ghost text\n" latency)))
      (princ (format "Suggestions: %s, of which %s accepted; %s characters typed through\n"
                     (plist-get taken :suggestions) (plist-get taken :accepted)
                     (plist-get taken :typedThrough)))
      (princ (format "Documents:   %s open, %s files read for guesses\n"
                     (plist-get status :documents)
                     (plist-get (plist-get status :workspace) :files))))))

(defun fimd-status ()
  "Show what the daemon has done so far."
  (interactive)
  (unless (fimd--request :fimd/status #'ignore #'fimd--write-status)
    (message "fimd: the daemon is %s%s" fimd-daemon-state
             (if fimd-daemon-detail (format " (%s)" fimd-daemon-detail) ""))))

(defun fimd-stop ()
  "End the daemon that the buffers of `fimd-mode' share.
The next key that asks for ghost text starts it again."
  (interactive)
  (fimd-daemon-stop))

(defun fimd-restart ()
  "Start the daemon anew, also after it was given up."
  (interactive)
  (fimd-daemon-stop)
  (fimd-daemon-start (fimd-document-root)))

;;;###autoload
(defun fimd-eglot-register (&optional modes)
  "Make fimd eglot's server of MODES, a major mode or a list of them.
Without MODES, of the modes derived from `prog-mode' that eglot knows no other
server for.  Its suggestions then come in the completion menu, too."
  (require 'eglot)
  (require 'fimd-eglot)
  (let ((entry (cons (or modes 'prog-mode) 'fimd-eglot-contact)))
    (setq eglot-server-programs (remove entry eglot-server-programs))
    (if modes
        (push entry eglot-server-programs)
      (setq eglot-server-programs (append eglot-server-programs (list entry))))))

;;;; Modes

(defun fimd--lighter ()
  "Return what the mode line is to show."
  (let* ((eglot (and (featurep 'fimd-eglot) (fimd-eglot-current)))
         (state (if eglot 'ready fimd-daemon-state))
         (words (pcase state
                  ((or 'starting 'loading)
                   (cons (if (numberp fimd-daemon-detail) (format "%d%%" fimd-daemon-detail)
                           "loading")
                         "the model is being loaded"))
                  ('failed (cons "failed" (format "%s" fimd-daemon-detail)))
                  ('stopped (cons "stopped" "the daemon does not run"))
                  (_ (cond (fimd--pending '("..." . "at work"))
                           (fimd--why (cons (car fimd--why)
                                            (concat "nothing is shown: " (cdr fimd--why))))
                           (t (cons nil (if eglot "ready, over eglot"
                                          (format "ready: %s" fimd-daemon-detail)))))))))
    (propertize (if (car words) (format " fimd:%s" (car words)) " fimd")
                'face (and (eq state 'failed) 'warning)
                'help-echo (concat "fimd: " (cdr words)))))

(defun fimd--cloned ()
  "Leave the mode in an indirect buffer, which shares the text but not its edits."
  (setq fimd-document nil
        fimd-ghost nil
        fimd--pending nil)
  (fimd-mode -1))

;;;###autoload
(define-minor-mode fimd-mode
  "Show what fimd would write at point, as ghost text.

While it shows:
\\<fimd-active-map>\\[fimd-accept] takes all of it, \\[fimd-accept-word] its next word, \
\\[fimd-accept-line] its line;
\\[fimd-next] and \\[fimd-previous] show others, \\[fimd-dismiss] hides it.
Typing what it says is taking it, too."
  :lighter (:eval (fimd--lighter))
  :keymap fimd-mode-map
  (if (and fimd-mode (not (buffer-base-buffer)))
      (fimd--enable)
    (setq fimd-mode nil)
    (fimd--disable)))

(defun fimd--enable ()
  "Begin to watch the buffer."
  (add-to-list 'emulation-mode-map-alists 'fimd--keymaps)
  (add-hook 'fimd-daemon-ready-hook #'fimd--on-ready)
  (add-hook 'fimd-daemon-gone-hook #'fimd--on-gone)
  (add-hook 'fimd-daemon-gone-hook #'fimd-watch-stop)
  (add-hook 'fimd-daemon-update-functions #'fimd--on-update)
  (add-hook 'fimd-daemon-watch-functions #'fimd-watch-root)
  (add-hook 'eglot-managed-mode-hook #'fimd--eglot-managed)
  (add-hook 'post-command-hook #'fimd--post-command nil t)
  (add-hook 'after-change-functions #'fimd--after-change nil t)
  (add-hook 'window-selection-change-functions #'fimd--window-changed nil t)
  (add-hook 'after-save-hook #'fimd-document-saved nil t)
  (add-hook 'kill-buffer-hook #'fimd--disable nil t)
  (add-hook 'change-major-mode-hook #'fimd--disable nil t)
  (add-hook 'clone-indirect-buffer-hook #'fimd--cloned nil t)
  (when fimd-in-menu
    (add-hook 'completion-at-point-functions #'fimd-completion-at-point -50 t))
  (setq fimd--tick (buffer-chars-modified-tick)
        fimd--point (point))
  (fimd--start))

(defun fimd--disable ()
  "Leave the buffer alone."
  (remove-hook 'post-command-hook #'fimd--post-command t)
  (remove-hook 'after-change-functions #'fimd--after-change t)
  (remove-hook 'window-selection-change-functions #'fimd--window-changed t)
  (remove-hook 'after-save-hook #'fimd-document-saved t)
  (remove-hook 'kill-buffer-hook #'fimd--disable t)
  (remove-hook 'change-major-mode-hook #'fimd--disable t)
  (remove-hook 'clone-indirect-buffer-hook #'fimd--cloned t)
  (remove-hook 'completion-at-point-functions #'fimd-completion-at-point t)
  (fimd--drop)
  (fimd-document-close))

(defun fimd--turn-on ()
  "Turn `fimd-mode' on where there is something to type."
  (unless (or (minibufferp) buffer-read-only (buffer-base-buffer)
              (string-prefix-p " " (buffer-name)))
    (fimd-mode)))

;;;###autoload
(define-globalized-minor-mode global-fimd-mode fimd-mode fimd--turn-on
  :predicate '(prog-mode)
  :group 'fimd)

(provide 'fimd)
;;; fimd.el ends here
